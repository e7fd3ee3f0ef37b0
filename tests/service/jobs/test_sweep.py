"""The sweep deletes orphans older than the safe age, and nothing else, from a real S3 server."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gfi.cli.servers import Server
from gfi.jobs import delete, sweep
from gfi.jobs.sweep import sweep_jobs, sweep_models, sweep_parts
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
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


def test_files_that_a_deleted_job_has_left_are_deleted_and_those_of_other_jobs_stay(
    database: Database, bucket: Bucket
) -> None:
    """A planner that was suspended wrote `job.json` after its job was deleted, and a rebuild brought the job back."""
    kept, gone = plan(database, total=2), plan(database, total=2)
    ledger.cancel_job(database, gone)
    ledger.delete_job(database, gone)
    for job in (kept, gone, "never-known"):
        bucket.put(f"jobs/{job}/job.json", b"{}")
        bucket.put(f"audits/{job}/1/audit.json", b"{}")
    assert sweep_jobs(database, bucket) == 2
    assert len(list(bucket.list(f"jobs/{gone}/"))) == 1, "it only said what it would delete"
    assert sweep_jobs(database, bucket, dry_run=False) == 2
    assert {entry.key.split("/")[1] for entry in bucket.list("")} == {kept, "never-known"}
    assert sweep_jobs(database, bucket, dry_run=False) == 0


def test_an_object_that_the_store_refuses_to_delete_keeps_no_other(
    database: Database, bucket: Bucket, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first locked object ended every sweep, so nothing behind it was ever deleted."""
    monkeypatch.setattr(sweep, "PAGE", 1)
    locked = keys["orphan"].replace("parts/", "parts/0", 1)
    bucket.put(locked, b"part")
    judge = queries.judge_parts

    def orphans_too(db: Database, page: Iterable[str]) -> dict[str, str]:
        return {key: "orphan" if key == locked else judge(db, [key])[key] for key in page}

    monkeypatch.setattr(queries, "judge_parts", orphans_too)
    delete = bucket.client.delete_objects

    def refuse(**asked: Any) -> Any:
        named = [one["Key"] for one in asked["Delete"]["Objects"]]
        refused = [{"Key": key, "Code": "AccessDenied"} for key in named if key == locked]
        others = [{"Key": key} for key in named if key != locked]
        if others:
            delete(Bucket=asked["Bucket"], Delete={"Objects": others})
        return {"Errors": refused}

    monkeypatch.setattr(bucket, "client", _Refusing(bucket.client, refuse))
    sweep_parts(database, bucket, safe_age_s=-60.0, dry_run=False)
    assert left(bucket, keys) == {"held", "unknown"}
    with pytest.raises(StoreError, match=r"1 of 2 objects could not be deleted, the first: .*AccessDenied"):
        bucket.delete_many([locked, keys["unknown"]])
    assert left(bucket, keys) == {"held"}
    monkeypatch.undo()


class _Refusing:
    """A client of S3 with another `delete_objects`."""

    def __init__(self, client: Any, delete_objects: Any) -> None:
        self._client, self.delete_objects = client, delete_objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_model_file_that_the_store_refuses_to_delete_keeps_no_other(
    database: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_DELETED_AT_ONCE", 1)
    for name in ("0", "1", "2"):
        bucket.put(f"{sweep.PREFIX}{name}", b"weights")
    refuse(monkeypatch, f"{sweep.PREFIX}0")
    assert sweep_models(database, bucket, safe_age_s=-60.0, dry_run=False) == 2
    assert [entry.key for entry in bucket.list(sweep.PREFIX)] == [f"{sweep.PREFIX}0"]
    monkeypatch.undo()


def test_objects_of_a_deleted_job_are_deleted_beside_one_that_the_store_refuses_and_it_is_said(
    database: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan(database, total=2)
    ledger.cancel_job(database, job)
    keys = [f"jobs/{job}/job.json", f"jobs/{job}/manifest.parquet", f"audits/{job}/1/audit.json"]
    for key in keys:
        bucket.put(key, b"{}")
    refuse(monkeypatch, keys[0])
    monkeypatch.setattr(delete, "_AT_ONCE", 1)
    with pytest.raises(StoreError, match="AccessDenied"):
        delete.delete_job(database, bucket, job, actor="ada")
    assert [entry.key for entry in bucket.list("")] == keys[:1]
    monkeypatch.undo()


def refuse(monkeypatch: pytest.MonkeyPatch, locked: str) -> None:
    """Lets the store delete every object but one."""
    delete_many = Bucket.delete_many

    def all_others(self: Bucket, keys: Iterable[str]) -> int:
        asked = list(keys)
        deleted = delete_many(self, [key for key in asked if key != locked])
        if locked in asked:
            raise StoreError(f"1 of {len(asked)} objects could not be deleted: {locked} (AccessDenied)")
        return deleted

    monkeypatch.setattr(Bucket, "delete_many", all_others)
