"""The sweep deletes orphans older than the safe age, and nothing else, from a real S3 server."""

from collections.abc import Iterator

import pytest

from gfi.cli.servers import Server
from gfi.jobs.sweep import sweep_parts
from gfi.store import parts
from gfi.store.database import Database
from gfi.store.objects import Bucket
from tests.service.store.ledger_actors import claim, commit, die, plan
from tests.service.store.test_objects import settings_for


@pytest.fixture
def bucket(s3: Server) -> Iterator[Bucket]:
    bucket = Bucket.from_settings(settings_for(s3.url, s3_bucket="sweep-tests"))
    bucket.ensure()
    yield bucket
    bucket.delete_many([entry.key for entry in bucket.list("")])


@pytest.fixture
def keys(database: Database, bucket: Bucket) -> dict[str, str]:
    """One part of each verdict, by verdict."""
    plan(database, total=8, size=4)
    lost = claim(database)
    orphan = parts.part_key(lost.job_id, lost.shard_id, lost.fence)
    die(database, lost, in_flight=[0])
    while (held := claim(database)).start != 4:
        assert commit(database, held)
    keys = {
        "orphan": orphan,
        "held": parts.part_key(held.job_id, held.shard_id, held.fence),
        "unknown": "parts/nojob/noshard/1-x.parquet",
    }
    for key in keys.values():
        bucket.put(key, b"part")
    return keys


def left(bucket: Bucket, keys: dict[str, str]) -> set[str]:
    there = {entry.key for entry in bucket.list("")}
    return {verdict for verdict, key in keys.items() if key in there}


def test_without_deleting_it_says_what_it_would_delete(
    database: Database, bucket: Bucket, keys: dict[str, str]
) -> None:
    swept = sweep_parts(database, bucket, safe_age_s=-60.0)
    assert dict(swept.counts) == {"orphan": 1, "held": 1, "unknown": 1}
    assert (swept.deleted, swept.bytes, swept.unknown) == (0, 4, [keys["unknown"]])
    assert left(bucket, keys) == {"orphan", "held", "unknown"}


def test_it_deletes_the_orphan_alone(database: Database, bucket: Bucket, keys: dict[str, str]) -> None:
    assert sweep_parts(database, bucket, safe_age_s=-60.0, dry_run=False).deleted == 1
    assert left(bucket, keys) == {"held", "unknown"}


def test_it_touches_nothing_younger_than_the_safe_age(
    database: Database, bucket: Bucket, keys: dict[str, str]
) -> None:
    assert sweep_parts(database, bucket, safe_age_s=3600.0, dry_run=False).deleted == 0
    assert left(bucket, keys) == {"orphan", "held", "unknown"}


def test_it_ends_when_its_lease_is_lost(database: Database, bucket: Bucket, keys: dict[str, str]) -> None:
    def lost() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sweep_parts(database, bucket, safe_age_s=-60.0, dry_run=False, check=lost)
    assert left(bucket, keys) == {"orphan", "held", "unknown"}
