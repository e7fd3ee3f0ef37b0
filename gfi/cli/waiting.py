"""The flags `--wait` and `--allow-partial` of commands that follow a job."""

from collections.abc import Callable
from typing import Any

import click


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add both flags."""
    wait = click.option("--wait", is_flag=True, help="Follow the job until it ends.")
    partial = click.option(
        "--allow-partial",
        is_flag=True,
        help="With --wait: a job that ends partial is a success, exit status 0.",
    )
    return wait(partial(command))


def check_wait(wait: bool, allow_partial: bool) -> None:
    """UsageError when `--allow-partial` is given without `--wait`."""
    if allow_partial and not wait:
        raise click.UsageError("--allow-partial goes with --wait")
