"""The hints that are published."""

from gfi.domain.queues import CONTROL_QUEUE
from gfi.store import ledger
from gfi.store.database import Database
from tests.service.store.ledger_actors import LEASE, OVER, claim, plan, submit


def test_hints_never_exceed_the_window_and_come_back_after_a_lease(database: Database) -> None:
    plan(database, total=20, size=1)
    plan(database, total=20, size=1)
    first = ledger.dispatch(database, 8, LEASE)
    assert len(first) == 8
    assert len({hint.job_id for hint in first}) == 2
    assert ledger.dispatch(database, 8, LEASE) == []
    claim(database, prefer=first[0].id)
    assert len(ledger.dispatch(database, 8, LEASE)) == 1
    # Redis lost them all: after one lease the same are published again.
    assert len(ledger.dispatch(database, 8, OVER)) == 8
    ledger.undispatch(database, first[1:4])
    assert len(ledger.dispatch(database, 8, LEASE)) == 3


def test_a_hint_spent_on_another_shard_is_not_missed(database: Database) -> None:
    """Eight messages for one job lead to claims of another job, which was not published. If their marks were kept,
    Redis would be empty and the window full for the duration of a lease.
    """
    plan(database, total=20, size=1)
    hints = ledger.dispatch(database, 8, LEASE)
    urgent = plan(database, total=8, size=1, priority=1)
    assert {claim(database, prefer=hint.id).job_id for hint in hints} == {urgent}
    assert len(ledger.dispatch(database, 8, LEASE)) == 8


def test_a_hint_spent_on_a_shard_with_a_hint_of_its_own_leaves_that_one_to_the_other(
    database: Database,
) -> None:
    plan(database, total=4, size=1)
    hints = ledger.dispatch(database, 4, LEASE)
    ledger.pause_job(database, hints[0].job_id or "")
    ledger.resume_job(database, hints[0].job_id or "")
    hints = ledger.dispatch(database, 4, LEASE)
    other = plan(database, total=1)
    (extra,) = ledger.dispatch(database, 5, LEASE)
    assert extra.job_id == other
    claim(database, prefer=hints[0].id)
    # One message consumed, one shard taken: three of the first job and one message remain.
    assert claim(database, prefer=hints[1].id).job_id == other
    assert ledger.dispatch(database, 5, LEASE) == []


def test_control_tasks_are_hinted_too(database: Database) -> None:

    job = submit(database)
    (hint,) = ledger.dispatch(database, 8, LEASE)
    assert (hint.queue, hint.job_id) == (CONTROL_QUEUE, job)
    assert ledger.dispatch(database, 8, LEASE) == []
    claimed = ledger.claim_control(database, "w", LEASE, prefer=hint.id)
    assert claimed is not None
    assert claimed.task_id == hint.id
