"""Delete a job: first its rows, then its objects.

In this order, because the sweep finds an object without a row, while a row without its object would be a result that
cannot be shown.
"""

from collections.abc import Iterable
from itertools import islice

from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.records import Deleted
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.queries import Job

_AT_ONCE = 1000


def delete_job(database: Database, bucket: Bucket, job_id: str, *, actor: str) -> Deleted:
    """Delete an ended job: its rows, its parts and pictures, and the photographs that were uploaded for it. Parts that
    hold carried results of other jobs stay.

    Uploaded photographs are kept while another job, such as a comparison, explains them too. The audit log records that
    the job existed. Raises NotFound, or Conflict while the job is active, and StoreError where the store refuses to
    delete some of the objects, after the others.
    """
    job = queries.get_job(database, job_id)
    deleted = ledger.delete_job(database, job.id, actor=actor)
    delete_objects_of(database, bucket, job, deleted)
    return deleted


def delete_objects_of(database: Database, bucket: Bucket, job: Job, deleted: Deleted) -> None:
    """Delete the objects of a job whose rows are gone, but for parts that are referred to."""
    spec = str(job.stored_config.get("dataset", {}).get("spec", ""))
    uploads: tuple[str, ...] = ()
    if spec.startswith(UPLOAD) and not queries.jobs_over(database, spec):
        uploads = (f"{UPLOADS}{spec.removeprefix(UPLOAD)}/",)
    _delete_objects(database, bucket, (*deleted.prefixes, *uploads))


def _delete_objects(database: Database, bucket: Bucket, prefixes: Iterable[str]) -> None:
    refused: StoreError | None = None
    for prefix in prefixes:
        keys = (entry.key for entry in bucket.list(prefix))
        while page := list(islice(keys, _AT_ONCE)):
            kept = queries.known_parts(database, page) if prefix.startswith("parts/") else set()
            try:
                bucket.delete_many(key for key in page if key not in kept)
            except Transient:
                raise
            except StoreError as error:  # a store may lock an object
                refused = refused or error
    if refused is not None:
        raise refused
