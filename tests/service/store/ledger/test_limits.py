"""The limits of a token hold for every way to start work."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import LimitExceeded
from gfi.store.ledger import limits
from tests.service.store.ledger_actors import begin, claim, claim_task, commit, plan, plan_claimed, submit


def token(database: Database, **limits: int) -> str:
    return ledger.create_token(database, "ada", ["submit"], limits=limits)[0]


def fire(database: Database, key: str) -> Any:
    spec = JobSpec(config={"fired": key}, owner="ada")
    schedule = next(iter(queries.list_schedules(database)))["id"]
    return ledger.fire(database, schedule, key, spec, next_due=1.0)


def register(database: Database, reference: str, estimate_s: float | None = None) -> str:
    asked = {"reference": reference}
    return ledger.request_task(database, ControlKind.REGISTER, asked, owner="ada", estimate_s=estimate_s)[0]


def test_active_jobs_are_limited_for_submissions_firings_retries_and_tasks(database: Database) -> None:
    token(database, max_active_jobs=1)
    ledger.add_schedule(database, "nightly", "0 2 * * *", "UTC", {"owner": "ada"}, next_due=0.0)
    ended = plan(database, total=1, owner="ada")
    assert commit(database, claim(database), status=ImageStatus.ERROR)
    ledger.finish_jobs(database)
    active = submit(database, owner="ada")
    for start in (
        lambda: submit(database, owner="ada"),
        lambda: ledger.retry_job(database, ended),
        lambda: register(database, "net"),
    ):
        with pytest.raises(LimitExceeded, match="1 active jobs, and has 1"):
            start()
    fired = fire(database, "a")
    assert fired.submitted is None
    assert "1 active jobs, and has 1" in fired.reason  # kept with the firing
    assert submit(database, owner="bob"), "nobody else's"
    ledger.cancel_job(database, active)
    assert fire(database, "b").submitted is not None


def test_an_import_and_its_job_count_as_one(database: Database) -> None:
    token(database, max_active_jobs=2)
    ledger.request_task(database, ControlKind.IMPORT, {}, owner="ada")
    task = ledger.claim_work(database, "w", EXPLAIN_QUEUE, 60.0, kinds=[ControlKind.IMPORT])
    assert isinstance(task, ControlClaim)
    assert ledger.save_control(database, task, {"job": "imported"}, lambda connection: None)
    other = submit(database, owner="ada")
    with pytest.raises(LimitExceeded):
        submit(database, owner="ada")
    assert begin(database, "imported", task)
    with pytest.raises(LimitExceeded, match="2 active jobs, and has 2"):
        submit(database, owner="ada")
    ledger.cancel_job(database, other)
    submit(database, owner="ada")


def test_a_revoked_token_leaves_its_limits_to_its_schedules(database: Database) -> None:
    ledger.revoke_token(database, token(database, max_active_jobs=1))
    submit(database, owner="ada")
    with pytest.raises(LimitExceeded):
        submit(database, owner="ada")
    ledger.create_token(database, "ada", ["submit"])  # the newest of a name counts
    submit(database, owner="ada")


def test_images_are_limited_where_a_listing_ends(database: Database) -> None:
    token(database, max_images=5)
    assert ledger.most_images(database, "ada") == 5
    assert ledger.most_images(database, "bob") is None
    job = submit(database, owner="ada")
    task = claim_task(database, ControlKind.PLAN)
    with pytest.raises(LimitExceeded, match="5 images a job"):
        plan_claimed(database, task, total=6)
    assert queries.get_job(database, job).state is JobState.PLANNING  # nothing was written
    assert plan_claimed(database, task, total=5)


def test_the_time_that_tasks_may_take_a_device_is_limited(database: Database) -> None:
    token(database, max_device_seconds=60)
    first = register(database, "a", 40.0)
    register(database, "unknown", None)
    with pytest.raises(LimitExceeded, match="60 s together, and would take 80 s"):
        register(database, "b", 40.0)
    ledger.cancel_task(database, first)
    register(database, "b", 40.0)
    with pytest.raises(LimitExceeded):
        ledger.retry_task(database, first)


def test_two_retries_at_once_do_not_pass_a_limit_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each counted before the other was stored, and both began."""
    ended = [plan(database, total=1, owner="ada") for _ in range(2)]
    for _ in ended:
        assert commit(database, claim(database), status=ImageStatus.ERROR)
    ledger.finish_jobs(database)
    token(database, max_active_jobs=1)
    meet, admit_active = threading.Barrier(2), limits._admit_active

    def admit(*args: Any, **how: Any) -> None:
        admit_active(*args, **how)
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(0.5)  # for the other to be admitted too; it cannot be

    def retried(job: str) -> bool:
        try:
            ledger.retry_job(database, job)
        except LimitExceeded:
            return False
        return True

    monkeypatch.setattr(limits, "_admit_active", admit)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(retried, ended)) == [False, True]
