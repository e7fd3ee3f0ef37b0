"""A lost database: jobs come back from the bucket, on SQLite and PostgreSQL, with a real S3 server."""

import io
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gfi.cli.servers import Server
from gfi.domain.ids import new_id
from gfi.domain.records import WEBHOOK, NotifyTarget, PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import AuditState, ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, parts, queries
from gfi.store.database import Database, upgrade
from gfi.store.errors import StoreError
from gfi.store.ledger.restoring import CARRIED
from gfi.store.ledger.sums import sums_of
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.parts import PartHeader
from gfi.store.rebuild import rebuild
from tests.servers import Postgres, Sqlite
from tests.service.store.ledger_actors import claim, claim_task, finish_all, plan, recorded, submit
from tests.service.store.test_objects import settings_for


@pytest.fixture
def bucket(s3: Server) -> Iterator[Bucket]:
    made = Bucket.from_settings(settings_for(s3.url, s3_bucket="rebuild-tests"))
    made.ensure()
    yield made
    made.delete_many([entry.key for entry in made.list("")])


@pytest.fixture
def empty(database: Database, request: pytest.FixtureRequest) -> Iterator[Database]:
    """The database that replaces the lost one."""
    servers: Postgres | Sqlite = request.getfixturevalue("sqlite_files" if database.is_sqlite else "postgres")
    db = Database(servers.create())
    yield db
    db.dispose()


def work(
    db: Database, bucket: Bucket, held: ShardClaim, status: ImageStatus, rows: Sequence[int], upto: int
) -> None:
    """Upload a real part and commit it, as a worker does."""
    upload(bucket, held, status, rows, commit_to=db, upto=upto)


def upload(
    bucket: Bucket,
    held: ShardClaim,
    status: ImageStatus,
    rows: Sequence[int],
    commit_to: Database | None = None,
    upto: int = 0,
) -> str:
    header = PartHeader(
        job_id=held.job_id,
        shard_id=held.shard_id,
        fence=held.fence,
        model_digest="m",
        method_digest="r",
        recipe={},
        layers={},
        profile={"batch": 8, "device_kind": "cpu"},
        align_corners=False,
        input_size=(8, 8),
        code_version="0",
        manifest_key=held.manifest_key,
    )
    packed = [
        Result(
            row=row,
            key=f"{row}.jpg",
            status=status,
            grid=np.full((2, 2), row / 100, np.float32),
            area=0.5,
            columns={"site": "AB"[row % 2], "age": row + 0.5},
        )
        for row in rows
    ]
    file = parts.write(header, packed)
    key = parts.part_key(held.job_id, held.shard_id, held.fence)
    bucket.put(key, file.data)
    if commit_to is not None:
        record = PartRecord(new_id(), key, file.sha256, len(file.data), len(rows))
        assert ledger.commit_shard(commit_to, held, upto, record, packed)
    return key


def write_down(db: Database, bucket: Bucket, job: str, *, committed: bool = True) -> None:
    """Write the files of planner and reporter into the bucket."""
    row = queries.get_job(db, job)
    manifest = {"key": row.manifest_key, "sha256": row.manifest_digest, "count": row.total}
    body = {
        "job": job,
        "config": row.stored_config,
        "model": None,
        "manifest": manifest,
        "facts": row.metadata,
    }
    body |= {name: getattr(row, name) for name in CARRIED}
    bucket.put(f"jobs/{job}/job.json", json.dumps(body).encode())
    if committed:
        listed = [asdict(part) for part in queries.iterate_parts(db, job)]
        bucket.put(f"jobs/{job}/committed.json", json.dumps({"job": job, "parts": listed}).encode())


def everything(db: Database, job: str) -> list[Result]:
    return [replace(result, created_at=None) for result in queries.iterate_results(db, job)]


def test_a_finished_job_comes_back_whole_retries_and_all(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    hook = NotifyTarget(WEBHOOK, "https://hooks.example.org/gfi")
    job = plan(database, total=10, size=5, owner="ann", tags=("birds",), notify=(hook,))
    work(database, bucket, claim(database), ImageStatus.OK, range(5), 5)
    work(database, bucket, claim(database), ImageStatus.ERROR, range(5, 8), 8)
    work(database, bucket, claim(database), ImageStatus.EMPTY, range(8, 10), 10)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r1", total=3, shards=[(0, 3)])
    work(database, bucket, claim(database), ImageStatus.OK, [5, 6, 7], 3)
    ledger.finish_jobs(database)
    write_down(database, bucket, job)

    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.job_id, rebuilt.images, rebuilt.missing, rebuilt.parts, rebuilt.lost) == (
        job,
        10,
        0,
        4,
        (),
    )
    assert [f.state for f in ledger.finish_jobs(empty)] == [JobState.SUCCEEDED]
    assert everything(empty, job) == everything(database, job)
    before, after = queries.get_job(database, job), queries.get_job(empty, job)
    assert [getattr(after, name) for name in CARRIED] == [getattr(before, name) for name in CARRIED]
    assert (after.tags, queries.address_on(empty, job, WEBHOOK)) == (["birds"], hook.address)
    assert queries.job_progress(empty, job).by_status == queries.job_progress(database, job).by_status
    assert [a.status for a in queries.earlier_results(empty, job, 6)] == ["error"]
    sums = queries.job_sums(database, job, cells=True)
    assert queries.job_sums(empty, job, cells=True) == sums == sums_of(everything(empty, job))
    assert queries.get_job(empty, job).profile == {"batch": 8, "device_kind": "cpu"}
    assert list(rebuild(empty, bucket)) == []
    explained = PartCache(empty, bucket).explanation(queries.get_result(empty, job, 6))
    assert explained is not None
    mask = explained.mask
    assert mask is not None
    assert mask[0, 0] == np.float32(0.06)


def test_an_unfinished_job_keeps_what_was_computed_and_waits_for_a_person(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    job = plan(database, total=20, size=5)
    work(database, bucket, claim(database), ImageStatus.OK, range(5), 5)
    write_down(database, bucket, job)
    work(database, bucket, claim(database), ImageStatus.OK, range(5, 10), 10)  # after the list was written
    upload(bucket, claim(database), ImageStatus.OK, range(10, 13))  # never committed, but used by the rebuild
    bucket.put(f"parts/{job}/{job}-15/1-x.parquet", b"half an upl")
    survivor = claim(database)

    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.missing, rebuilt.parts) == (7, 3)
    row = queries.get_job(empty, job)
    assert (row.state, row.paused) == (JobState.RUNNING, True)
    assert recorded(empty, job) == dict.fromkeys(range(13), "ok")
    # A worker that is still running has a claim of the lost database: it commits nothing here.
    ledger.resume_job(empty, job)
    taken = ledger.claim_shard(empty, "w", "explain", 60.0, prefer=survivor.shard_id)
    assert taken is not None
    assert taken.fence > survivor.fence
    assert not ledger.renew_lease(empty, survivor, 60.0).held
    assert ledger.release_shard(empty, taken, "stopped")
    finish_all(empty)
    assert ledger.finish_jobs(empty)[0].state is JobState.SUCCEEDED
    assert recorded(empty, job) == dict.fromkeys(range(20), "ok")


def test_an_audit_whose_outcome_was_not_committed_for_certain_comes_back_as_not_done(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    job = plan(database, total=1)
    work(database, bucket, claim(database), ImageStatus.OK, [0], 1)
    ledger.finish_jobs(database)
    write_down(database, bucket, job)
    screened = {"series": "s", "secret": "x", "settings": {}, "settings_digest": "d", "options": {}}
    screened |= {"job_id": job, "owner": "ada", "created_at": 1.0, "plan": {"stored": {"screened": "T-1"}}}
    for made, at in (("one", 2.0), ("two", None)):  # of the second even the screening was not committed
        stored = {"audit": screened | {"id": made, "screened_at": at}, "summary": {}, "findings": []}
        bucket.put(f"audits/{job}/{made}/audit-T-2.json", json.dumps(stored).encode())

    assert len(list(rebuild(empty, bucket))) == 1
    ledger.finish_jobs(empty)
    (found,) = queries.list_audits(empty, job)
    assert (found.id, found.state, found.summary) == ("one", AuditState.SCREENED, None)
    ledger.confirm_audit(empty, "one")
    assert queries.get_audit(empty, "one").state is AuditState.CONFIRMING


def test_a_retry_that_was_not_finished_keeps_what_it_computed(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    job = plan(database, total=10, size=10)
    work(database, bucket, claim(database), ImageStatus.ERROR, range(10), 10)
    ledger.finish_jobs(database)
    write_down(database, bucket, job)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    again = [1, 3, 5, 8]
    listed = io.BytesIO()
    pq.write_table(pa.table({"row": again}), listed)
    bucket.put("r1", listed.getvalue())
    assert ledger.finish_retry(database, task, manifest_key="r1", total=4, shards=[(0, 2), (2, 4)])
    claim(database)
    work(database, bucket, claim(database), ImageStatus.OK, [5, 8], 4)

    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.missing, rebuilt.parts) == (0, 2)
    assert recorded(empty, job) == dict.fromkeys(range(10), "error") | {5: "ok", 8: "ok"}
    assert ledger.finish_jobs(empty)[0].state is JobState.PARTIAL
    # The next retry has another number, so its files differ from those of this one.
    ledger.retry_job(empty, job)
    assert claim_task(empty, ControlKind.RETRY).generation == 2


def test_a_part_that_is_gone_or_damaged_is_done_again(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    job = plan(database, total=15, size=5)
    for start in (0, 5, 10):
        work(database, bucket, claim(database), ImageStatus.OK, range(start, start + 5), start + 5)
    write_down(database, bucket, job)
    first, second, _ = queries.iterate_parts(database, job)
    bucket.delete_many([first.key])
    bucket.put(second.key, b"something else")
    (rebuilt,) = rebuild(empty, bucket)
    assert rebuilt.missing == 10
    assert set(rebuilt.lost) == {first.key, second.key}
    assert recorded(empty, job) == dict.fromkeys(range(10, 15), "ok")


def test_a_rebuilding_that_was_interrupted_is_started_again(
    database: Database, empty: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan(database, total=10, size=5)
    for start in (0, 5):
        work(database, bucket, claim(database), ImageStatus.OK, range(start, start + 5), start + 5)
    write_down(database, bucket, job, committed=False)
    from gfi.store import rebuild as module

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "end_restore", killed)
        with pytest.raises(KeyboardInterrupt):
            list(rebuild(empty, bucket))
    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.missing, rebuilt.parts) == (0, 0)
    assert recorded(empty, job) == dict.fromkeys(range(10), "ok")
    assert ledger.finish_jobs(empty)[0].state is JobState.SUCCEEDED


def test_the_clock_of_a_worker_does_not_decide_what_is_current(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    """The first pass had a worker whose clock was a year ahead: its part's id sorts after that of the retry."""
    job = plan(database, total=6, size=6)
    held = claim(database)
    ahead = f"z{new_id()[1:]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.service.store.test_rebuild.new_id", lambda: ahead)
        work(database, bucket, held, ImageStatus.ERROR, range(6), 6)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r1", total=6, shards=[(0, 6)])
    work(database, bucket, claim(database), ImageStatus.OK, range(6), 6)
    ledger.finish_jobs(database)
    write_down(database, bucket, job)
    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.error, rebuilt.missing, rebuilt.parts) == (None, 0, 2)
    assert recorded(empty, job) == recorded(database, job) == dict.fromkeys(range(6), "ok")


def test_an_upload_of_the_first_pass_fills_a_gap_below_a_retry(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    """The listed part of the first pass is gone; another attempt at the shard was uploaded and never committed."""
    job = plan(database, total=4, size=4)
    held = claim(database)
    upload(bucket, held, ImageStatus.ERROR, range(4))
    work(database, bucket, held, ImageStatus.ERROR, range(4), 4)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key="r1", total=4, shards=[(0, 4)])
    work(database, bucket, claim(database), ImageStatus.OK, range(4), 4)
    ledger.finish_jobs(database)
    write_down(database, bucket, job)
    bucket.delete_many([next(iter(queries.iterate_parts(database, job))).key])
    (rebuilt,) = rebuild(empty, bucket)
    assert (rebuilt.error, rebuilt.missing, len(rebuilt.lost)) == (None, 0, 1)
    assert recorded(empty, job) == dict.fromkeys(range(4), "ok")


def test_a_job_that_cannot_be_rebuilt_does_not_stop_the_next(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    job = plan(database, total=5, size=5)
    work(database, bucket, claim(database), ImageStatus.OK, range(5), 5)
    write_down(database, bucket, job)
    bucket.put("jobs/0damaged/job.json", b"{not JSON")
    bucket.put("jobs/0old/job.json", b'{"job": "0old"}')
    damaged, old, good = rebuild(empty, bucket)
    assert (damaged.job_id, old.job_id, good.job_id) == ("0damaged", "0old", job)
    assert "JSONDecodeError" in str(damaged.error)
    assert "KeyError" in str(old.error)
    assert (good.error, good.parts) == (None, 1)


def test_the_further_columns_of_the_manifest_come_back(
    database: Database, empty: Database, bucket: Bucket
) -> None:
    kinds = {"site": "text", "age": "number"}
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    assert ledger.finish_planning(
        database,
        task,
        manifest_key="m",
        manifest_digest="d",
        total=4,
        shards=[(0, 2), (2, 4)],
        metadata={"columns": kinds},
    )
    work(database, bucket, claim(database), ImageStatus.OK, range(2), 2)
    work(database, bucket, claim(database), ImageStatus.ERROR, range(2, 4), 4)
    write_down(database, bucket, job)
    before = everything(database, job)
    assert before[1].columns == {"site": "B", "age": 1.5}
    list(rebuild(empty, bucket))
    assert everything(empty, job) == before
    assert queries.kinds_of(queries.get_job(empty, job).metadata) == kinds


def test_a_backup_made_and_restored_as_documented_has_everything(
    postgres: Postgres, bucket: Bucket, s3: Server, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text()
    dump, restore = re.findall(r"^pg_.*$", page, re.MULTILINE)
    database, restored = Database(postgres.create()), Database(postgres.create(migrated=False))
    job = plan(database, total=10, size=5)
    work(database, bucket, claim(database), ImageStatus.OK, range(5), 5)
    _, token = ledger.create_token(database, "ann", ["read"])

    run_with(postgres.programs, dump, tmp_path, DATABASE=database)
    copied = Bucket.from_settings(settings_for(s3.url, s3_bucket="rebuild-tests-copy"))
    copied.ensure()
    for entry in bucket.list(""):
        copied.put(entry.key, bucket.get(entry.key))
    work(database, bucket, claim(database), ImageStatus.OK, range(5, 10), 10)  # after the backup
    later = plan(database, total=5, size=5)
    run_with(postgres.programs, restore, tmp_path, NEW_DATABASE=restored)

    upgrade(restored)
    assert list(rebuild(restored, copied)) == []
    assert recorded(restored, job) == dict.fromkeys(range(5), "ok")
    assert ledger.verify_token(restored, token) is not None
    with pytest.raises(StoreError, match="no job"):
        queries.get_job(restored, later)
    explained = PartCache(restored, copied).explanation(queries.get_result(restored, job, 3))
    assert explained is not None
    assert explained.mask is not None
    ledger.expire_leases(restored)
    work(restored, copied, claim(restored), ImageStatus.OK, range(5, 10), 10)
    assert ledger.finish_jobs(restored)[0].state is JobState.SUCCEEDED
    for one in (database, restored):
        one.dispose()


def run_with(programs: Path, command: str, folder: Path, **databases: Database) -> None:
    """Run a line of the documentation with the programs of PostgreSQL in a folder."""
    urls = {
        name: db.url.set(drivername="postgresql").render_as_string(hide_password=False)
        for name, db in databases.items()
    }
    environment = os.environ | urls | {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True)
