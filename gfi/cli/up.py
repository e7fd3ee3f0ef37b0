"""`gfi up`, `gfi down`: the embedded stack from the command line."""

import sys
from pathlib import Path

import click

from gfi.cli.home import home_directory, other_stacks, running_stack
from gfi.cli.printing import status
from gfi.cli.stack import Stack
from gfi.cli.supervisor import run_background, run_foreground, stop_running


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Run in the background; `gfi down` stops it.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(0, 64),
    help="Number of worker processes.",
)
def up(detach: bool, workers: int) -> None:
    """Start the whole service on this machine.

    Starts Redis, S3, the scheduler, the API and workers, without root. Data, keys and logs are in ${GFI_HOME:-./.gfi}.
    """
    home = home_directory()
    if detach:
        with status("starting") as say:
            run_background(home, workers, say)
        click.echo(f"running in {home}; gfi down stops it")
        _name_others(home)
        _print_dashboard()
        return
    stack = Stack(home, workers=workers, say=lambda line: click.echo(line))

    def ready() -> None:
        click.echo(f"running in {home}; Ctrl-C stops it")
        _name_others(home)
        _print_dashboard()

    run_foreground(stack, ready)


def _name_others(home: Path) -> None:
    for other in other_stacks(home):
        click.echo(f"another stack runs in {other}; the two are independent")


def _print_dashboard() -> None:
    """Print the address of the dashboard; on a terminal as a one-time sign-in link, which must not be stored in
    files."""
    from gfi.cli.home import open_stack
    from gfi.cli.open import sign_in_link

    home = home_directory()
    url = (running_stack(home) or {}).get("api_url")
    if url is None:
        return
    if sys.stdout.isatty():
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
    if stop_running(home):
        click.echo(f"stopped {home}")
        return
    others = other_stacks(home)
    where = f" in {home}; a stack runs in {' and in '.join(map(str, others))}" if others else ""
    click.echo(f"nothing is running{where}")
