"""The `gfi` command.

Each command parses, calls one function of another room and prints. Other rooms are imported inside the commands:
`gfi --help` answers at once, and only what needs torch waits for it.
"""

import errno
import os
import sys
from collections.abc import Sequence

import click

from gfi.cli import account, api, dataset_jobs, method, services, stack_commands
from gfi.cli.errors import CommandError

EXIT_USER = 1  # something asked for cannot be done; one line says why
EXIT_BUG = 3  # our fault


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gfi", prog_name="gfi")
@click.option("--debug", is_flag=True, envvar="GFI_DEBUG", help="Show the traceback of an error.")
def gfi(debug: bool) -> None:
    """Which pixels made this classifier say that? Answers for whole image datasets."""


for module in (stack_commands, dataset_jobs, method, services, api, account):
    for command in module.COMMANDS:
        gfi.add_command(command)


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
    if type(error).__module__ == "gfi.cli.servers":
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: the place this was to be written to is full"
    return None


if __name__ == "__main__":
    main()
