"""What a command can ask, whether the jobs are in a database on this machine or behind the HTTP API.

Both (`local_service`, `remote_service`) answer with the same plain dictionaries, so that commands print one way.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

JSON = dict[str, Any]


class Service(Protocol):
    """What a command can ask about jobs, schedules and models."""

    def submit(self, options: Mapping[str, Any], *, key: str | None, new: bool) -> JSON:
        """{"job", "created", "reason"}."""
        ...

    def jobs(self, *, state: str | None, limit: int) -> list[JSON]:
        """Jobs with their progress, newest first."""
        ...

    def job(self, job_id: str) -> JSON:
        """One job with its configuration and progress. `job_id` may be the beginning of an id on this machine."""
        ...

    def failures(self, job_id: str) -> list[JSON]:
        """What went wrong, by class."""
        ...

    def summary(self, job_id: str) -> JSON:
        """{"counts": status → images, "means": [{"name", "mean", "count", "class_mean"}]}."""
        ...

    def cancel(self, job_id: str) -> bool:
        """False when it was cancelled already."""
        ...

    def pause(self, job_id: str) -> bool:
        """False when it was paused already."""
        ...

    def resume(self, job_id: str) -> bool:
        """False when it was not paused."""
        ...

    def retry(self, job_id: str, statuses: Sequence[str], classes: Sequence[str]) -> str:
        """The state the job is in again."""
        ...

    def delete(self, job_id: str) -> None:
        """Rows, parts, pictures and uploads."""
        ...

    def results(self, job_id: str, *, status: str | None, limit: int | None) -> Iterator[JSON]:
        """Result rows in the order of the manifest."""
        ...

    def report(self, job_id: str, folder: Path, limit: int) -> Path:
        """Write the page of a job into `folder`; returns its path."""
        ...

    def models(self) -> list[JSON]:
        """Registered models: reference, digest, input_size, classes, parameters."""
        ...

    def schedules(self) -> list[JSON]:
        """Schedules by name, with `next_at`."""
        ...

    def add_schedule(self, name: str, cron: str, zone: str, options: Mapping[str, Any]) -> JSON:
        """The schedule, with `next_at`."""
        ...

    def remove_schedule(self, name: str) -> None:
        """By name or id."""
        ...
