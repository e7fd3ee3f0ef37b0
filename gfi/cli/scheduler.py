"""`gfi scheduler`: the process that dispatches work."""

import os
import sys

import click

from gfi.cli.children import PYTHON


@click.command()
@click.option(
    "--interval", type=click.FloatRange(0.01), help="Seconds between two ticks. [default: GFI_POLL_S]"
)
def scheduler(interval: float | None) -> None:
    """Run the scheduler until SIGTERM.

    Any number of schedulers may run at once; there is no leader.
    """
    from gfi.store.settings import Settings

    Settings.load().require_stack()
    command = [*PYTHON, "-m", "scheduler"]
    os.execv(sys.executable, [*command, *(["--interval", str(interval)] if interval is not None else [])])
