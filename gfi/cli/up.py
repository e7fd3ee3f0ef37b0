"""`gfi up`, `gfi down`: the embedded stack from the command line."""

import os
import stat
import sys

import click

from gfi.cli.home import home_directory, running_stack
from gfi.cli.stack import Stack
from gfi.cli.supervisor import run_background, run_foreground, stop_running


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Run in the background; `gfi down` stops it.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(0, 64),
    help="Number of explaining worker processes.",
)
def up(detach: bool, workers: int) -> None:
    """Start the whole service on this machine.

    Starts Redis, S3, the scheduler, the API and workers, without root. Data, keys and logs are in ${GFI_HOME:-./.gfi}.
    """
    home = home_directory()
    if detach:
        run_background(home, workers)
        click.echo(f"running in {home}; gfi down stops it")
        _print_dashboard()
        return
    stack = Stack(home, workers=workers, say=lambda line: click.echo(line))

    def ready() -> None:
        click.echo(f"running in {home}; Ctrl-C stops it")
        _print_dashboard()

    run_foreground(stack, ready)


def _print_dashboard() -> None:
    """Print the address of the dashboard, with a one-time link unless stdout is a file, which would keep it."""
    from gfi.cli.home import open_stack
    from gfi.cli.open import sign_in_link

    home = home_directory()
    url = (running_stack(home) or {}).get("api_url")
    if url is None:
        return
    if not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        _, database = open_stack()
        click.echo(f"dashboard (this link works once, within 15 minutes): {sign_in_link(database, url)}")
    else:
        click.echo(f"dashboard: {url} (gfi open prints a link that signs you in)")


@click.command()
def down() -> None:
    """Stop the stack that `gfi up` started.

    It is the one whose directory is ${GFI_HOME:-./.gfi}.
    """
    home = home_directory()
    click.echo(f"stopped {home}" if stop_running(home) else "nothing is running")
