"""An imported job: (nothing) → running, with its shards, which only the process that imports it claims."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import digest
from gfi.domain.records import JobSpec
from gfi.domain.states import JobState
from gfi.store.database import Database, now
from gfi.store.ledger.audit import record
from gfi.store.ledger.limits import admit_images, admit_job
from gfi.store.ledger.shards import insert_shards
from gfi.store.tables import jobs


def begin_import(
    db: Database,
    job_id: str,
    spec: JobSpec,
    *,
    manifest_key: str,
    manifest_digest: str,
    listing_digest: str,
    total: int,
    shards: Iterable[tuple[int, int]],
    metadata: Mapping[str, Any],
) -> None:
    """(nothing) → running. `spec.queue` is one of `gfi.domain.queues.import_queue`. LimitExceeded as for other jobs."""
    with db.begin() as connection:
        admit_job(connection, spec.owner)
        admit_images(connection, spec.owner, total)
        connection.execute(
            sa.insert(jobs).values(
                id=job_id,
                name=spec.name,
                owner=spec.owner,
                queue=spec.queue,
                priority=spec.priority,
                state=JobState.RUNNING.value,
                config=spec.config,
                config_digest=digest(spec.config),
                listing_digest=listing_digest,
                model=spec.model,
                tags=list(spec.tags) or None,
                manifest_key=manifest_key,
                manifest_digest=manifest_digest,
                total=total,
                facts=dict(metadata),
                created_at=now(),
                planned_at=now(),
            )
        )
        covered = insert_shards(connection, job_id, 0, manifest_key, shards)
        if covered != total:
            raise ValueError(f"shards cover {covered} of {total} images")
        what = {"dataset": spec.config["dataset"]["spec"], "method": spec.config["method"]}
        record(connection, spec.owner or "local", "job.imported", job_id, what)
