"""The row of a job that is submitted or imported."""

from typing import Any

from gfi.domain.digests import digest
from gfi.domain.records import JobSpec
from gfi.domain.states import JobState
from gfi.store.database import now


def job_row(job_id: str, spec: JobSpec, state: JobState) -> dict[str, Any]:
    """The columns of table `jobs` that `spec` fills; the others keep their defaults."""
    return {
        "id": job_id,
        "name": spec.name,
        "owner": spec.owner,
        "queue": spec.queue,
        "priority": spec.priority,
        "state": state.value,
        "config": spec.config,
        "config_digest": digest(spec.config),
        "listing_digest": spec.listing_digest,
        "idempotency_key": spec.idempotency_key,
        "model": spec.model,
        "notify": [target.__dict__ for target in spec.notify] or None,
        "tags": list(spec.tags) or None,
        "since": spec.since,
        "created_at": now(),
    }
