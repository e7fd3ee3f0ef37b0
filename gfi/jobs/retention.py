"""Retention: the old jobs of schedules with `keep` are deleted, but for those that something refers to.

What holds a job is decided in the ledger (`gfi.store.ledger.retention`), once to list the candidates and again under
the lock of the job in the transaction that deletes it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gfi.audit.verdicts import SHORTCUTS
from gfi.jobs.delete import delete_objects_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.objects import Bucket
from gfi.store.others_go_on import others_go_on

_SHORTCUTS = tuple(verdict.value for verdict in SHORTCUTS)


@dataclass
class Retained:
    """What became of the old jobs of schedules. deleted: or would be, in a dry run. held: job → why it is kept."""

    dry_run: bool
    deleted: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Ready for JSON."""
        return dict(self.__dict__)


def delete_old_jobs(
    database: Database,
    bucket: Bucket,
    *,
    schedule_id: str | None = None,
    dry_run: bool = False,
    actor: str = "schedule",
    check: Callable[[], None] = lambda: None,
) -> Retained:
    """Delete the jobs that one schedule, or any, no longer keeps. check: called before each; may raise to end it."""
    retained = Retained(dry_run)
    for schedule, runs in _keeping(database, schedule_id):
        for job_id in queries.old_jobs_of(database, schedule, runs):
            check()
            reason = ledger.why_held(database, schedule, job_id, _SHORTCUTS)
            if reason is None and not dry_run:
                reason = _delete(database, bucket, schedule, job_id, actor)
            if reason is None:
                retained.deleted.append(job_id)
            else:
                retained.held[job_id] = reason
    return retained


def _delete(database: Database, bucket: Bucket, schedule: str, job_id: str, actor: str) -> str | None:
    """Delete one job, or say why it is kept."""
    try:
        job = queries.get_job(database, job_id)
        deleted = ledger.delete_old_job(database, schedule, job_id, _SHORTCUTS, actor=actor)
    except (Conflict, NotFound) as error:  # a person was first: flagged, retried or deleted it
        return str(error)
    with others_go_on("objects of an old job not deleted", job=job_id):  # the sweep tries them again
        delete_objects_of(database, bucket, job, deleted)
    return None


def _keeping(database: Database, schedule_id: str | None) -> Iterator[tuple[str, int]]:
    """The schedules with `keep`, and how many runs each keeps."""
    for row in queries.list_schedules(database):
        keep = (row["follow_ups"] or {}).get("keep")
        if keep is not None and schedule_id in (None, row["id"]):
            yield row["id"], keep["runs"]
