"""An imported job: (nothing) → running, with its shards, which only the process that imports it claims."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import JobState
from gfi.store.database import Database
from gfi.store.ledger.audit import record
from gfi.store.ledger.guards import held
from gfi.store.ledger.job_row import job_row
from gfi.store.ledger.limits import admit_images, admit_job
from gfi.store.ledger.shards import insert_shards
from gfi.store.tables import control_tasks, jobs


def begin_import(
    db: Database,
    job_id: str,
    spec: JobSpec,
    *,
    manifest_key: str,
    manifest_digest: str,
    total: int,
    shards: Iterable[tuple[int, int]],
    metadata: Mapping[str, Any],
    task: ControlClaim | None = None,
) -> bool:
    """(nothing) → running, for the listing with `spec.listing_digest`. LimitExceeded as for other jobs.

    `spec.queue` is one of `gfi.domain.queues.import_queue`. task: the one that imports, which the limits count as this
    job. Returns False, and writes nothing, when its lease is lost.
    """
    with db.begin() as connection:
        if task is not None:
            mine = sa.select(control_tasks.c.id).where(held(control_tasks, task.task_id, task.fence))
            if connection.execute(mine.with_for_update()).scalar() is None:
                return False
        admit_job(connection, spec.owner, task_counts=task is not None)
        admit_images(connection, spec.owner, total)
        row = job_row(job_id, spec, JobState.RUNNING)
        listed = {
            "manifest_key": manifest_key,
            "manifest_digest": manifest_digest,
            "total": total,
            "facts": dict(metadata),
            "planned_at": row["created_at"],
        }
        connection.execute(sa.insert(jobs).values(row | listed))
        covered = insert_shards(connection, job_id, 0, manifest_key, shards)
        if covered != total:
            raise ValueError(f"shards cover {covered} of {total} images")
        what = {"dataset": spec.config["dataset"]["spec"], "method": spec.config["method"]}
        record(connection, spec.owner or "local", "job.imported", job_id, what)
        return True
