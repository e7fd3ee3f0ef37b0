"""Follow a job until it ends: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable

import click

from gfi.cli.errors import CommandError
from gfi.cli.printing import duration
from gfi.domain.states import JobState
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import Transient
from gfi.store.queries import Progress

# A line every so often keeps a log readable; a bar is redrawn a few times a second.
LINE_EVERY_S = 15.0
POLL_S = 0.3


def follow(
    database: Database, job_id: str, watch: Callable[[], None] = lambda: None, quiet: bool = False
) -> queries.Job:
    """Wait until the job reaches an end, showing its progress; `watch` is called a few times a second.

    Raises CommandError when the job failed.
    """
    shown = None if quiet else (_Bar() if sys.stderr.isatty() else _Lines())
    try:
        while True:
            watch()
            try:
                job = queries.get_job(database, job_id)
                progress = queries.job_progress(database, job_id)
            except Transient:  # the database is being restarted: the job is safe, so is the waiting
                time.sleep(1)
                continue
            if shown is not None:
                shown.update(job, progress)
            if job.ended:
                break
            time.sleep(POLL_S)
    finally:
        if shown is not None:
            shown.close()
    if job.state == JobState.FAILED:
        raise CommandError(f"job {job.id} failed: {job.error or 'every image failed'}")
    return job


def _describe(job: queries.Job, progress: Progress) -> str:
    if job.state in (JobState.QUEUED, JobState.PLANNING):
        return "planning"
    return "paused" if job.paused else str(job.state)


class _Lines:
    def __init__(self) -> None:
        self._last = 0.0
        self._state = ""

    def update(self, job: queries.Job, progress: Progress) -> None:
        state = _describe(job, progress)
        now = time.monotonic()
        if state == self._state and now - self._last < LINE_EVERY_S:
            return
        self._state, self._last = state, now
        left = f", {duration(progress.eta_s)} left" if progress.eta_s is not None else ""
        of = (
            ""
            if progress.total is None
            else f": {progress.done + progress.finished} of {progress.total} images"
        )
        flying = f", {progress.in_flight} in work" if progress.in_flight else ""
        click.echo(f"{state}{of}{flying}{left}", err=True)

    def close(self) -> None:
        pass


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Live

        self._live = Live(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            TextColumn("{task.fields[images]}"),
            TextColumn("{task.fields[rate]:>12}"),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._live.add_task("planning", total=None, rate="", left="", images="")
        self._live.start()

    def update(self, job: queries.Job, progress: Progress) -> None:
        rate = f"{progress.rate:.2f} img/s" if progress.rate else ""
        left = f"{duration(progress.eta_s)} left" if progress.eta_s else ""
        self._live.update(
            self._task,
            description=_describe(job, progress),
            total=progress.total or None,
            completed=progress.done + progress.finished + progress.partial,
            rate=rate,
            left=left,
            images=f"{progress.done + progress.finished}/{progress.total} images" if progress.total else "",
        )

    def close(self) -> None:
        self._live.stop()
