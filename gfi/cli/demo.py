"""`gfi demo`: a job on the bundled photographs, from start to report."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from gfi import samples
from gfi.cli.errors import CommandError
from gfi.cli.home import AlreadyRuns, home_directory, open_stack, ready, supervisor_of
from gfi.cli.stack import Stack
from gfi.cli.supervisor import signals_as_interrupt, uninterrupted
from gfi.domain.states import JobState

METRICS = ("energy_in_box", "pointing")


WAIT_S = 0.5


def run_demo(home: Path, folder: Path) -> None:
    """Explain the bundled photographs and write `folder/index.html`, with the stack that runs in `home`.

    If none runs, one is started, and stopped when no demo uses it any more.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with _used(home):
            while supervisor_of(home) is not None and not ready(home):  # another demo starts it
                time.sleep(WAIT_S)
            if ready(home):
                _demo(folder, lambda: None)
                return
        try:
            _run_with_own_stack(home, folder)
            return
        except AlreadyRuns:  # since a moment ago
            continue


def _run_with_own_stack(home: Path, folder: Path) -> None:
    stack = Stack(home, say=lambda line: click.echo(f"  {line}"))
    with signals_as_interrupt():
        try:
            stack.start()
            with _used(home):
                _demo(folder, stack.watch)
            _stop_when_unused(home, stack)
        finally:
            with uninterrupted():
                stack.stop()


@contextlib.contextmanager
def _used(home: Path) -> Iterator[None]:
    """Inside the block no other demo stops the stack. Entering waits while a stack is being stopped."""
    with (home / "demo.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _stop_when_unused(home: Path, stack: Stack) -> None:
    with (home / "demo.lock").open("ab") as file:
        said = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not said:
                    click.echo(
                        "  another gfi demo uses this stack; waiting for it (Ctrl-C stops the stack now)"
                    )
                said = True
                stack.watch()
                time.sleep(WAIT_S)
        click.echo("  stopping the stack")
        with uninterrupted():
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
    # The key contains the configuration: the same demo continues its job, a changed demo starts another.
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
    run_demo(home, (output or home / "demo").expanduser().resolve())
