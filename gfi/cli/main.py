"""The `gfi` command.

A command is imported when it is called, and imports what it needs inside its function, so that `gfi jobs` does not load
the modules of `gfi explain`. The file of a command has its name.
"""

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

EXIT_USER = 1  # the command cannot be carried out; one line says why
EXIT_BUG = 3  # a bug of gfi


class Entry(NamedTuple):
    """A command: where it is, as `file of gfi.cli:name`, and its line in `gfi --help`."""

    place: str
    help: str


COMMANDS = {
    "api": Entry("api:api", "Serve the HTTP API and the dashboard until SIGTERM."),
    "bench": Entry("bench:bench", "Measure how fast MODEL is explained on a device of this machine."),
    "audit": Entry("audit:audit", "Test what a job's model looks at."),
    "audits": Entry("audit:audits", "List the audits of a job, newest first."),
    "cancel": Entry("job:cancel", "Cancel a job."),
    "compare": Entry(
        "compare:compare", "Compare JOB_B with JOB_A: which masks moved, and whether that is more than noise."
    ),
    "db": Entry("db:db", "Upgrade, inspect or rebuild the database."),
    "demo": Entry(
        "demo:demo",
        "Explain the bundled photographs and write a report; then audit a small classifier that has learnt a shortcut.",
    ),
    "doctor": Entry("doctor:doctor", "Check what gfi needs on this machine."),
    "down": Entry("up:down", "Stop the stack that `gfi up` started."),
    "estimate": Entry(
        "estimate:estimate", "Print the plan of a job: time, workers, memory, bytes and costs."
    ),
    "explain": Entry("explain:explain", "Explain photographs in this process, without a service."),
    "export": Entry("export:export", "Export the results of a job to other tools."),
    "import": Entry("import_masks:import_masks", "Import masks that were made elsewhere as a finished job."),
    "flags": Entry("flags:flags", "List the flags of a job's images; `gfi flags set` flags many at once."),
    "gate": Entry("gate:gate", "Write the file of limits for `gfi compare --gate`."),
    "gc": Entry(
        "gc:gc",
        "Find result files in the bucket that nothing refers to, and jobs that their schedules no longer keep.",
    ),
    "job": Entry("job:job", "Show one job: state, progress, configuration, failures."),
    "jobs": Entry("jobs:jobs", "List jobs, newest first; `gfi jobs delete` deletes one."),
    "layers": Entry("layers:layers", "List the layers of a model and those that the presets choose."),
    "models": Entry("models:models", "List the registered models; `gfi models add` registers one."),
    "open": Entry("open:open_", "Print a one-time link that signs a browser in to the dashboard."),
    "pause": Entry("job:pause", "Pause a job."),
    "report": Entry("report:report", "Write an HTML page that shows the results of a job."),
    "reproduce": Entry(
        "reproduce:reproduce",
        "Run an experiment of the paper on a directory and print its table with ours beside it.",
    ),
    "results": Entry("results:results", "Print the results of a job, one line per image and class."),
    "resume": Entry("job:resume", "Resume a paused job."),
    "retry": Entry("job:retry", "Explain part of an ended job again."),
    "schedule": Entry("schedules:schedule", "Submit jobs at fixed times."),
    "scheduler": Entry("scheduler:scheduler", "Run the scheduler until SIGTERM."),
    "submit": Entry("submit:submit", "Explain every image of a dataset."),
    "tasks": Entry(
        "tasks:tasks", "List the tasks that wait or run; `gfi tasks cancel` and `gfi tasks retry` change one."
    ),
    "tokens": Entry("tokens:tokens", "Create, list and revoke tokens of the HTTP API."),
    "up": Entry("up:up", "Start the whole service on this machine."),
    "views": Entry("views:views", "List the saved views of a job; `gfi views save` saves one."),
    "worker": Entry("worker:worker", "Run one worker until SIGTERM, or with --devices one worker a device."),
}


class LazyGroup(click.Group):
    """Imports a command only when it is called (the pattern of click's documentation), not for `gfi --help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].place.split(":")
        command: click.Command = getattr(importlib.import_module(f"gfi.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="gfi", prog_name="gfi")
@click.option("--debug", is_flag=True, envvar="GFI_DEBUG", help="Show the traceback of an error.")
def gfi(debug: bool) -> None:
    """Show which pixels a classifier's prediction depends on, for whole image datasets."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error is one line on stderr and exit status 1."""
    atexit.register(
        gc.freeze
    )  # the interpreter's last collection looks at no module: an eighth of `gfi jobs`
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or bool(os.environ.get("GFI_DEBUG"))
    try:
        gfi.main(args=arguments, prog_name="gfi", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `gfi results … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if debug:
            raise
        _fail(error)


def _fail(error: Exception) -> None:
    from gfi.cli.errors import error_line

    line = error_line(error)
    if line is None:
        click.echo(
            f"gfi: unexpected {type(error).__name__}: {error} (gfi --debug shows where; please report it)",
            err=True,
        )
        sys.exit(EXIT_BUG)
    click.echo(f"gfi: {line}", err=True)
    sys.exit(EXIT_USER)


if __name__ == "__main__":
    main()
