"""`gfi demo`: a job on the bundled photographs, from start to report."""

from collections.abc import Callable
from pathlib import Path

import click

from gfi import samples
from gfi.cli.errors import CommandError
from gfi.cli.home import home_directory, open_stack, running_stack
from gfi.cli.stack import Stack
from gfi.cli.supervisor import signals_as_interrupt, uninterrupted
from gfi.domain.states import JobState

METRICS = ("energy_in_box", "pointing")


def run_demo(folder: Path, stack: Stack | None = None) -> None:
    """Explain the bundled photographs and write `folder/index.html`. Starts and stops `stack` when one is given."""
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
    from gfi.cli.follow import follow
    from gfi.cli.job_summary import print_summary
    from gfi.cli.local_service import LocalService
    from gfi.domain.digests import digest
    from gfi.jobs.submit import freeze, request_from, submit

    settings, database = open_stack()
    request = request_from(
        dataset=f"manifest:{samples.manifest()}", name="Bundled photographs", metrics=METRICS
    )
    # The key contains the configuration: the same demo continues its job, a changed one starts another.
    key = f"demo-{digest(freeze(database, settings, request).to_json())[:16]}"
    submitted = submit(database, settings, request, idempotency_key=key)
    click.echo(f"job {submitted.job_id}" + ("" if submitted.created else " (continued)"))
    service = LocalService(settings, database)
    job = follow(service, submitted.job_id, watch=watch)
    if job["state"] == JobState.FAILED:
        raise CommandError(f"job {job['id']} failed: {job['error'] or 'every image failed'}")
    page = service.report(job["id"], folder, 5000)
    click.echo("")
    print_summary(service, job["id"])
    click.echo(f"\nreport: {page}")


@click.command()
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the report. [default: .gfi/demo]")
def demo(output: Path | None) -> None:
    """Explain the bundled photographs and write a report.

    Uses the running stack, or starts one and stops it afterwards. Ctrl-C stops everything that was started; running
    the demo again continues the same job.
    """
    home = home_directory()
    folder = (output or home / "demo").expanduser().resolve()
    if running_stack(home) is not None:
        run_demo(folder)
        return
    run_demo(folder, Stack(home, say=lambda line: click.echo(f"  {line}")))
