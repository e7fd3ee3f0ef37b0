"""`gfi demo`: a job on the bundled photographs, from start to report; then an audit of a classifier with a shortcut."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gfi import samples
from gfi.cli.errors import CommandError
from gfi.cli.home import AlreadyRuns, home_directory, open_stack, ready, supervisor_of
from gfi.cli.service import JSON
from gfi.cli.stack import Stack
from gfi.cli.supervisor import signals_as_interrupt, uninterrupted
from gfi.domain.states import AuditState, JobState

if TYPE_CHECKING:
    from gfi.cli.local_service import LocalService

METRICS = ("energy_in_box", "pointing")
SHAPES_SHOWN = 60
"""Images of the report of the drawn shapes."""

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
    job = _followed(service, submitted.job_id, watch)
    page = service.report(job["id"], folder, 5000)
    click.echo("")
    print_summary(service, job["id"])
    _audit_shapes(service, folder.parent / "demo-shapes", watch)
    click.echo(f"\nreport: {page}")


def _followed(service: "LocalService", job_id: str, watch: Callable[[], None]) -> JSON:
    from gfi.cli.follow import follow

    job = follow(service, job_id, watch=watch)
    if job["state"] == JobState.FAILED:
        raise CommandError(f"job {job['id']} failed: {job['error'] or 'every image failed'}")
    return job


def _audit_shapes(service: "LocalService", folder: Path, watch: Callable[[], None]) -> None:
    """Explain drawn shapes with a classifier that was trained on a marked dataset, and audit it."""
    from gfi.cli.audit import follow_audit
    from gfi.domain.digests import digest
    from gfi.jobs.submit import freeze, request_from, submit
    from gfi.samples import planted
    from gfi.store import queries

    database, settings = service.database, service.settings
    click.echo(
        "\nA classifier of drawn shapes, trained on images of which half of the moons had a mark in a corner:"
    )
    reference = planted.MODEL.stem
    if queries.find_model(database, reference) is None:
        service.add_model(str(planted.MODEL), here=False)
    manifest = planted.write(folder)
    request = request_from(
        dataset=f"manifest:{manifest}", name="Drawn shapes", model=reference, target="auto"
    )
    key = f"demo-{digest(freeze(database, settings, request).to_json())[:16]}"
    job = _followed(service, submit(database, settings, request, idempotency_key=key).job_id, watch)
    done = [one for one in service.audits(job["id"]) if one["state"] == AuditState.DONE]
    if done:
        shown = service.audit(done[0]["id"])
    else:
        asked = service.request_audit(job["id"], dry_run=False, classes=(), patch=None, seed=0)
        shown = follow_audit(service, asked["audit"]["id"], watch=watch)
    if shown["state"] != AuditState.DONE:
        raise CommandError(f"audit {shown['id']} is {shown['state']}: {shown['reason'] or 'no reason given'}")
    shortcuts = [one for one in shown["findings"] if one["verdict"].endswith("shortcut")]
    for finding in shortcuts:
        click.echo(f"\n{finding['sentence']}")
    click.echo(f"\n`gfi audit show {shown['id']}` prints all {len(shown['findings'])} findings")
    page = service.report(job["id"], folder.with_name("demo-audit"), SHAPES_SHOWN)
    click.echo(f"report with the findings and their pictures: {page}")


@click.command()
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the report. [default: .gfi/demo]")
def demo(output: Path | None) -> None:
    """Explain the bundled photographs and write a report; then audit a small classifier that has learnt a shortcut.

    Uses the running stack, or starts one and stops it afterwards. Ctrl-C stops everything that was started; running
    the demo again continues the same job.
    """
    home = home_directory()
    run_demo(home, (output or home / "demo").expanduser().resolve())
