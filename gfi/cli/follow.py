"""Follow a job until it ends: a progress bar on a terminal, occasional lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.printing import duration
from gfi.cli.service import JSON, Service
from gfi.domain.states import TERMINAL, JobState, ShardState
from gfi.store.errors import Transient

EXIT_STATUS = {JobState.PARTIAL: 4, JobState.FAILED: 5, JobState.CANCELLED: 6}
"""The exit status of `--wait` for a job that did not succeed. 1 to 3 say that the command itself failed."""
LINE_EVERY_S = 15.0
"""Seconds between two lines that differ only in their counts."""
POLL_S = 0.3
RELEASE_S = 30.0
"""How long workers are waited for that still commit what they finished of a cancelled job."""
AWAY_S = 1.0
"""Seconds between two attempts while the service is away."""


def follow(
    service: Service, job_id: str, watch: Callable[[], None] = lambda: None, quiet: bool = False
) -> JSON:
    """Wait until the job has ended and show its progress. `watch` is called a few times a second.

    Returns the job as it ended: of a cancelled job with the images that workers had finished, see RELEASE_S.
    """
    ended: float | None = None
    shown = None if quiet else (_Bar() if sys.stderr.isatty() else _Lines())
    try:
        while True:
            watch()
            try:
                job = service.job(job_id)
            except Transient:  # the database or the API is being restarted; the job continues
                time.sleep(AWAY_S)
                continue
            if shown is not None:
                shown.update(job)
            if job["state"] in TERMINAL:
                ended = ended or time.monotonic()
                if not job["progress"]["in_flight"] or time.monotonic() - ended >= RELEASE_S:
                    break
            time.sleep(POLL_S)
    finally:
        if shown is not None:
            shown.close()
    return job


def follow_task(service: Service, task_id: str) -> JSON:
    """Wait until a task has ended, and return it. CommandError with its reason if it was not done."""
    while True:
        try:
            task = service.task(task_id)
        except Transient:
            time.sleep(AWAY_S)
            continue
        if task["state"] == ShardState.DONE:
            return task
        if task["state"] not in (ShardState.PENDING, ShardState.LEASED):
            raise CommandError(f"task {task['id']} is {task['state']}: {task['reason'] or 'no reason given'}")
        time.sleep(POLL_S)


def exit_as(job: JSON, allow_partial: bool) -> None:
    """End the command with the exit status of a job that has ended, and a line on stderr unless it succeeded.

    allow_partial: a job that is `partial` counts as succeeded.
    """
    state = JobState(job["state"])
    if state is JobState.SUCCEEDED or (state is JobState.PARTIAL and allow_partial):
        return
    why = job["error"] or ("every image failed" if state is JobState.FAILED else "")
    click.echo(f"gfi: job {job['id']}: {state}" + (f": {why}" if why else ""), err=True)
    sys.exit(EXIT_STATUS[state])


def _describe(job: JSON) -> str:
    if job["state"] in (JobState.QUEUED, JobState.PLANNING):
        return "planning"
    return "paused" if job["paused"] else str(job["state"])


class _Lines:
    """A line on stderr whenever the state changes, and every LINE_EVERY_S."""

    def __init__(self) -> None:
        self._last = 0.0
        self._state = ""

    def update(self, job: JSON) -> None:
        state, progress = _describe(job), job["progress"]
        now = time.monotonic()
        if state == self._state and now - self._last < LINE_EVERY_S:
            return
        self._state, self._last = state, now
        left = f", {duration(progress['eta_s'])} left" if progress["eta_s"] is not None else ""
        total = progress["total"]
        counts = "" if total is None else f": {_explained(progress)} of {total} images"
        in_flight = f", {progress['in_flight']} in progress" if progress["in_flight"] else ""
        click.echo(f"{state}{counts}{in_flight}{left}", err=True)

    def close(self) -> None:
        pass


def _explained(progress: JSON) -> int:
    """How many images are explained, committed or not."""
    return int(progress["done"] + progress["finished"])


class _Bar:
    """A progress bar on the terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._live = Progress(
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

    def update(self, job: JSON) -> None:
        progress: dict[str, Any] = job["progress"]
        self._live.update(
            self._task,
            description=_describe(job),
            total=progress["total"] or None,
            completed=_explained(progress) + progress["partial"],
            rate=f"{progress['rate']:.2f} img/s" if progress["rate"] else "",
            left=f"{duration(progress['eta_s'])} left" if progress["eta_s"] else "",
            images=f"{_explained(progress)}/{progress['total']} images" if progress["total"] else "",
        )

    def close(self) -> None:
        self._live.stop()
