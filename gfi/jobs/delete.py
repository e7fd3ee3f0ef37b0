"""Delete a job: first its rows, then its objects.

In this order, because an object without a row is found by the sweep, while a row whose object is gone would be a result
that cannot be shown.
"""

from collections.abc import Iterable

from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.records import Deleted
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.objects import Bucket


def delete_objects(bucket: Bucket, prefixes: Iterable[str]) -> int:
    """Delete everything below the prefixes of a deleted job. Returns how many objects."""
    return sum(bucket.delete_many(each.key for each in bucket.list(prefix)) for prefix in prefixes)


def delete_job(database: Database, bucket: Bucket, job_id: str, *, actor: str) -> Deleted:
    """Delete an ended job: its rows, parts, pictures, and the photographs that were uploaded for it alone.

    The audit keeps that it existed. Raises Conflict while it is under way, NotFound when there is none.
    """
    job = queries.get_job(database, job_id)
    deleted = ledger.delete_job(database, job.id, actor=actor)
    spec = str(job.config.get("dataset", {}).get("spec", ""))
    uploads = (f"{UPLOADS}{spec.removeprefix(UPLOAD)}/",) if spec.startswith(UPLOAD) else ()
    delete_objects(bucket, (*deleted.prefixes, *uploads))
    return deleted
