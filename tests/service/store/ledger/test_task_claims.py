"""Which task is claimed: priority, then fairness between owners, and between tasks and the shards of jobs."""

import pytest

from gfi.domain import tasks
from gfi.domain.records import ControlClaim, ShardClaim
from gfi.domain.tasks import TaskKind
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.ledger import Wanted
from tests.service.store.ledger_actors import LEASE, commit, plan, submit

KIND = "count"


@pytest.fixture(autouse=True)
def _a_kind_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.KINDS, KIND, TaskKind(KIND, "network", "count something", "explain"))


def request(database: Database, number: int, owner: str, **how: int) -> str:
    task, created = ledger.request_task(database, KIND, {"number": number}, owner=owner, **how)
    assert created
    return task


def claim(database: Database, kinds: tuple[str, ...] = (KIND,)) -> ShardClaim | ControlClaim:
    claimed = ledger.claim_work(database, "worker", "explain", LEASE, kinds=kinds)
    assert claimed is not None
    return claimed


def owners(database: Database, number: int) -> list[str]:
    """Of the next tasks of queue `control`, each of which is done before the next is claimed."""
    claimed = []
    for _ in range(number):
        task = ledger.claim_control(database, "worker", LEASE)
        assert task is not None
        assert ledger.fail_control(database, task, "no such directory", retry=False)
        claimed.append(task.owner)
    return claimed


def test_an_interactive_job_is_listed_before_those_that_wait(database: Database) -> None:
    for _ in range(3):
        submit(database, owner="ada", priority=100)
    submit(database, owner="bob", queue="interactive")
    assert owners(database, 2) == ["bob", "ada"]


def test_one_owners_listings_do_not_starve_anothers(database: Database) -> None:
    for _ in range(3):
        submit(database, owner="ada")
    submit(database, owner="bob")
    assert owners(database, 3) == ["ada", "bob", "ada"]


def test_the_priority_of_a_job_is_that_of_its_listing(database: Database) -> None:
    submit(database, owner="ada")
    later = submit(database, owner="bob")
    ledger.set_priority(database, later, 5)
    assert owners(database, 1) == ["bob"]


def test_a_worker_takes_shards_and_tasks_in_turn(database: Database) -> None:
    plan(database, total=8, size=2, owner="ada")
    for number in range(3):
        request(database, number, "bob")
    taken = []
    for _ in range(6):
        claimed = claim(database)
        if isinstance(claimed, ShardClaim):
            assert commit(database, claimed)
            taken.append("shard")
        else:
            assert ledger.finish_control(database, claimed)
            taken.append("task")
    assert sorted(taken[:4]) == ["shard", "shard", "task", "task"]
    assert sorted(taken) == ["shard"] * 3 + ["task"] * 3


def test_a_worker_takes_only_kinds_that_it_knows(database: Database) -> None:
    request(database, 0, "ada")
    assert ledger.claim_work(database, "worker", "explain", LEASE, kinds=()) is None
    assert ledger.claim_work(database, "worker", "explain", LEASE, kinds=("other",)) is None
    assert ledger.claim_work(database, "worker", "interactive", LEASE, kinds=(KIND,)) is None
    assert ledger.claim_control(database, "worker", LEASE) is None, "a control worker has no network"
    claimed = claim(database)
    assert isinstance(claimed, ControlClaim)
    assert (claimed.kind, claimed.payload, claimed.owner) == (KIND, {"number": 0}, "ada")


def test_a_task_pauses_and_is_cancelled_with_its_job(database: Database) -> None:
    job = plan(database, total=1, owner="ada")
    assert commit(database, claim(database))  # type: ignore[arg-type]
    request(database, 0, "ada", job_id=job)  # type: ignore[arg-type]
    held = claim(database)
    assert isinstance(held, ControlClaim)
    ledger.pause_job(database, job)
    assert ledger.renew_control(database, held, LEASE).wanted == "pause"
    assert ledger.release_control(database, held)
    assert ledger.claim_work(database, "worker", "explain", LEASE, kinds=(KIND,)) is None
    ledger.resume_job(database, job)
    again = claim(database)
    ledger.cancel_job(database, job)
    assert not ledger.renew_control(database, again, LEASE).held  # type: ignore[arg-type]


def test_a_slot_is_kept_for_what_does_not_take_long(database: Database) -> None:
    submit(database, owner="ada")
    assert ledger.claim_control(database, "worker", LEASE, wanted=Wanted(short=True)) is None
    assert ledger.claim_control(database, "worker", LEASE, wanted=Wanted(sated=["ada"])) is None
    submit(database, owner="ada", queue="interactive")
    urgent = ledger.claim_control(database, "worker", LEASE, wanted=Wanted(short=True, sated=["ada"]))
    assert urgent is not None
    submit(database, owner="bob")
    other = ledger.claim_control(database, "worker", LEASE, wanted=Wanted(sated=["ada"]))
    assert other is not None
    assert other.owner == "bob"


def test_hints_of_tasks_go_to_their_own_queue(database: Database) -> None:
    task = request(database, 0, "ada")
    (hint,) = ledger.dispatch(database, 8, LEASE)
    assert (hint.queue, hint.id, hint.task) == ("explain", task, True)
    ledger.undispatch(database, [hint])
    assert ledger.dispatch(database, 8, LEASE) == [hint]
    # A message for a task that was spent on another one is published again.
    other = request(database, 1, "bob", priority=5)
    claimed = ledger.claim_work(database, "worker", "explain", LEASE, prefer=task, kinds=(KIND,))
    assert isinstance(claimed, ControlClaim)
    assert claimed.task_id == other
    assert ledger.dispatch(database, 8, LEASE) == [hint]
