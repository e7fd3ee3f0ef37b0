"""Reads the masks of a job for an experiment, from its parts."""

from collections.abc import Iterator

from gfi.domain.statuses import ImageStatus
from gfi.reproduce.experiment import Listing, Masked
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache


def masks_of(database: Database, bucket: Bucket, job_id: str, listing: Listing) -> Iterator[Masked]:
    """Every image of a listing with its mask in a job. An image that the job has no result for has the status `error`
    and no mask."""
    cache = PartCache(database, bucket)
    missing = {example.key: example for example in listing.examples}
    for result in queries.iterate_results(database, job_id, columns=False):
        example = missing.pop(result.key, None)
        if example is None:
            continue
        explained = cache.explanation(result)
        stored = result if explained is None else explained.result
        size = stored.original_size
        yield Masked(
            example,
            result.status,
            None if explained is None else explained.mask,
            size,
            None if size is None else stored.box_at(size),
            result.prediction,
            listing.root / example.key,
        )
    for example in missing.values():
        yield Masked(example, ImageStatus.ERROR)
