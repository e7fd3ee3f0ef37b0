"""Masks of results, read from the bucket and cached."""

import numpy as np
import pytest

from gfi.cli.servers import Server
from gfi.domain.ids import new_id
from gfi.domain.records import PartRecord
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.parts import PartHeader
from tests.service.store.ledger_actors import claim, plan
from tests.service.store.test_objects import settings_for


class CountingBucket(Bucket):
    """A bucket that remembers what was read."""

    reads: list[str]

    def get(self, key: str) -> bytes:
        """The bytes under `key`."""
        self.reads.append(key)
        return super().get(key)


@pytest.fixture
def bucket(s3: Server) -> CountingBucket:
    bucket = CountingBucket.from_settings(settings_for(s3.url, s3_bucket="part-cache-tests"))
    bucket.ensure()
    bucket.reads = []
    return bucket


def commit_part(database: Database, bucket: Bucket) -> str:
    """Explain the next shard with a mask that is the row's number everywhere. Returns the key of its part."""
    held = claim(database)
    header = PartHeader(
        held.job_id, held.shard_id, held.fence, "m", "r", {}, {}, {"batch": 8}, False, (8, 8), "0"
    )
    rows = [
        Result(row, f"{row}.jpg", ImageStatus.OK, grid=np.full((2, 2), row / 10, np.float32))
        for row in range(held.start, held.stop)
    ]
    file = parts.write(header, rows)
    key = parts.part_key(held.job_id, held.shard_id, held.fence)
    bucket.put(key, file.data)
    record = PartRecord(new_id(), key, file.sha256, len(file.data), len(rows))
    assert ledger.commit_shard(database, held, held.stop, record, rows)
    return key


def test_a_part_is_read_once_and_only_the_last_few_are_kept(
    database: Database, bucket: CountingBucket
) -> None:
    job = plan(database, total=6, size=2)
    keys = [commit_part(database, bucket) for _ in range(3)]
    cache = PartCache(database, bucket, kept=2)
    results = list(queries.iterate_results(database, job))
    for result in results:
        explained = cache.explanation(result)
        assert explained is not None
        assert explained.result.key == result.key
        assert explained.mask is not None
        np.testing.assert_allclose(explained.mask, np.full((8, 8), result.row / 10), rtol=1e-6)
    assert bucket.reads == keys
    cache.explanation(results[2])
    assert bucket.reads == keys, "the second part is kept"
    cache.explanation(results[0])
    assert bucket.reads == [*keys, keys[0]], "the first is not"


def test_a_result_without_a_part_has_no_mask_and_a_damaged_part_is_refused(
    database: Database, bucket: CountingBucket
) -> None:
    job = plan(database, total=2, size=2)
    key = commit_part(database, bucket)
    cache = PartCache(database, bucket)
    assert cache.explanation(Result(0, "0.jpg", ImageStatus.ERROR)) is None
    (result, _) = queries.iterate_results(database, job)
    bucket.put(key, b"something else")
    with pytest.raises(StoreError, match="SHA-256"):
        cache.explanation(result)
    bucket.delete_many([key])
    with pytest.raises(NotFound):
        cache.explanation(result)
