"""`gfi demo`: the main job on the bundled photographs, start to report."""

from collections.abc import Callable
from pathlib import Path

import click

from gfi import samples
from gfi.cli.stack import Stack, open_stack, signals_as_interrupt, uninterrupted

METRICS = ("energy_in_box", "pointing")


def run_demo(folder: Path, stack: Stack | None = None) -> None:
    """Submit samples/, follow the job and write `folder/index.html`. Starts and stops `stack` when one is given."""
    if stack is None:
        _demo(folder, lambda: None)
        return
    with signals_as_interrupt():
        try:
            stack.start()
            _demo(folder, stack.watch)
        finally:
            with uninterrupted():
                click.echo("  stopping the stack")
                stack.stop()


def _demo(folder: Path, watch: Callable[[], None]) -> None:
    from gfi.cli.following import follow
    from gfi.cli.reporting import print_summary, write_report
    from gfi.domain.digests import digest
    from gfi.jobs.submit import freeze, request_from, submit

    settings, database = open_stack()
    request = request_from(
        dataset=f"manifest:{samples.manifest()}", name="Bundled photographs", metrics=METRICS
    )
    # The key holds the configuration: the same demo continues, a changed one starts anew.
    key = f"demo-{digest(freeze(database, settings, request))[:16]}"
    submitted = submit(database, settings, request, idempotency_key=key)
    click.echo(f"job {submitted.job_id}" + ("" if submitted.created else " (continued)"))
    job = follow(database, submitted.job_id, watch=watch)
    page = write_report(database, settings, job.id, folder)
    click.echo("")
    print_summary(database, job.id)
    click.echo(f"\nreport: {page}")
