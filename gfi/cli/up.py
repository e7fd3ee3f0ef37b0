"""`gfi up`, `gfi down`: the embedded stack from the command line."""

import os
import stat
import sys

import click

from gfi.cli.stack import (
    Stack,
    home_directory,
    run_background,
    run_foreground,
    running_stack,
    stop_running,
)


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Run in the background; `gfi down` stops it.")
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(0, 64), help="Explaining worker processes."
)
def up(detach: bool, workers: int) -> None:
    """Start Redis, S3, the scheduler and workers on this machine, without root.

    State is kept in ${GFI_HOME:-./.gfi}.
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
    """Where the dashboard is, with a way in; not into a file, where a secret would be left lying about."""
    from gfi.cli.dashboard import sign_in_link
    from gfi.cli.stack import open_stack

    home = home_directory()
    url = (running_stack(home) or {}).get("api_url")
    if url is None:
        return
    if not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        _, database = open_stack()
        click.echo(f"dashboard, once, within 15 minutes: {sign_in_link(database, url)}")
    else:
        click.echo(f"dashboard: {url} (gfi open prints a link that signs you in)")


@click.command()
def down() -> None:
    """Stop what `gfi up` started here."""
    home = home_directory()
    click.echo(f"stopped {home}" if stop_running(home) else "nothing is running")
