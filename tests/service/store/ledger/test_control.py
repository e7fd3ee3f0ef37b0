"""The lease of a control task: attempts, deaths of workers, outages."""

from typing import Any

import pytest
import sqlalchemy as sa

from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database, now
from gfi.store.ledger import control
from gfi.store.ledger.control import ATTEMPTS, DEATHS
from gfi.store.tables import control_tasks, scheduler_heartbeat
from tests.service.store.ledger_actors import (
    OVER,
    claim,
    claim_task,
    commit,
    plan,
    plan_claimed,
    states,
    submit,
)


def test_a_planner_that_dies_is_replaced_and_then_writes_nothing(database: Database) -> None:
    job = submit(database)
    first = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    assert ledger.claim_control(database, "other", 60.0) is None
    assert ledger.expire_control(database) == [first.task_id]
    second = claim_task(database, ControlKind.PLAN)
    assert second.fence > first.fence
    assert not plan_claimed(database, first, total=4)
    assert not ledger.renew_control(database, first, 60.0).held
    assert plan_claimed(database, second, total=8)
    assert plan_claimed(database, second, total=8)  # its answer was lost, so the call is repeated
    assert states(database, job) == [(0, 4, "pending"), (4, 8, "pending")]


def test_planning_is_given_up_after_five_attempts_with_the_reason(database: Database) -> None:
    job = submit(database)
    for _ in range(5):
        task = claim_task(database, ControlKind.PLAN)
        assert ledger.fail_control(database, task, "the bucket is away", delay_s=0.0)
    assert ledger.claim_control(database, "planner", 60.0) is None
    row = queries.get_job(database, job)
    assert (row.state, row.error) == (JobState.FAILED, "planning failed: the bucket is away")


def _planner_dies(database: Database) -> ControlClaim:
    """A planner claims, dies, and the pause after its death is over."""
    task = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    assert ledger.expire_control(database) == [task.task_id]
    with database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(not_before=0.0))
    return task


def test_a_planner_killed_again_and_again_costs_a_job_no_attempt(database: Database) -> None:
    job = submit(database)
    for _ in range(DEATHS - 1):
        _planner_dies(database)
    for _ in range(ATTEMPTS - 1):
        task = claim_task(database, ControlKind.PLAN)
        assert ledger.fail_control(database, task, "the bucket is away", delay_s=0.0)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert queries.get_job(database, job).state is JobState.RUNNING


def test_deaths_of_planners_are_pauses_apart_that_double(database: Database) -> None:
    submit(database)
    pauses = []
    for _ in range(5):
        task = claim_task(database, ControlKind.PLAN, lease_s=OVER)
        assert ledger.expire_control(database) == [task.task_id]
        with database.begin() as connection:
            pauses.append(connection.execute(sa.select(control_tasks.c.not_before - now())).scalar_one())
            connection.execute(sa.update(control_tasks).values(not_before=0.0))
    assert pauses == pytest.approx([0.0, 1.0, 2.0, 4.0, 8.0], abs=0.5)


def test_a_job_that_kills_every_planner_is_given_up_with_the_reason(database: Database) -> None:
    job = submit(database)
    for _ in range(DEATHS):
        _planner_dies(database)
    assert ledger.claim_control(database, "planner", 60.0) is None
    row = queries.get_job(database, job)
    assert row.state is JobState.FAILED
    assert (row.error or "").startswith(f"planning failed: {DEATHS} workers died while they worked on it")
    assert ledger.retry_job(database, job)
    assert plan_claimed(database, claim_task(database, ControlKind.PLAN))


def test_where_planners_are_killed_all_the_time_no_job_is_given_up(database: Database) -> None:
    jobs = [submit(database) for _ in range(4)]
    with database.read() as connection:
        tasks = connection.execute(sa.select(control_tasks.c.id).order_by(control_tasks.c.id)).scalars().all()
    assert len(tasks) == len(jobs)
    for _ in range(3 * DEATHS):
        for task in tasks:
            claim = ledger.claim_control(database, "planner", OVER, prefer=task)
            assert claim is not None
            assert ledger.expire_control(database) == [task]
            with database.begin() as connection:
                connection.execute(sa.update(control_tasks).values(not_before=0.0))
    for _ in jobs:
        assert plan_claimed(database, claim_task(database, ControlKind.PLAN))
    assert {queries.get_job(database, job).state for job in jobs} == {JobState.RUNNING}


def test_a_planner_that_comes_back_takes_its_death_back(database: Database) -> None:
    job = submit(database)
    for _ in range(DEATHS):
        assert not ledger.release_control(database, _planner_dies(database))
        assert not ledger.fail_control(database, _planner_dies(database), "the database was away")
    assert queries.get_job(database, job).state is JobState.PLANNING


def test_an_outage_of_the_database_is_no_planners_death(database: Database) -> None:
    submit(database)
    task = claim_task(database, ControlKind.PLAN, lease_s=8.0)
    assert ledger.expire_leases(database) == []
    gap = 3600.0
    with database.begin() as connection:
        connection.execute(sa.update(scheduler_heartbeat).values(at=scheduler_heartbeat.c.at - gap))
        connection.execute(
            sa.update(control_tasks).values(
                lease_until=control_tasks.c.lease_until - gap, renewed_at=control_tasks.c.renewed_at - gap
            )
        )
    assert ledger.expire_leases(database) == []
    assert ledger.expire_control(database) == []
    assert plan_claimed(database, task)


def test_a_reason_that_time_does_not_heal_fails_planning_at_once(database: Database) -> None:
    job = submit(database)
    task = claim_task(database, ControlKind.PLAN)
    assert ledger.fail_control(database, task, "no such directory", retry=False)
    assert not ledger.fail_control(database, task, "too late")
    assert queries.get_job(database, job).state is JobState.FAILED


def test_a_planner_told_to_stop_uses_up_no_attempt(database: Database) -> None:
    submit(database)
    for _ in range(10):
        assert ledger.release_control(database, claim_task(database, ControlKind.PLAN))
    assert claim_task(database, ControlKind.PLAN).attempt == 1


def test_a_retry_that_cannot_be_planned_returns_the_job_to_where_it_was(database: Database) -> None:
    job = plan(database, total=1)
    assert commit(database, claim(database), status=ImageStatus.ERROR)
    ledger.finish_jobs(database)
    ledger.retry_job(database, job)
    ledger.fail_control(database, claim_task(database, ControlKind.RETRY), "no bucket", retry=False)
    row = queries.get_job(database, job)
    assert (row.state, row.error) == (JobState.FAILED, "the retry could not be planned: no bucket")


def test_after_days_of_deaths_a_lease_still_runs_out_and_so_do_those_of_others(database: Database) -> None:
    """After 1,026 deaths the pause was 2.0**1024, an OverflowError, and no lease of any task ran out any more."""
    submit(database)
    submit(database)
    worn = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    other = claim_task(database, ControlKind.PLAN, lease_s=OVER)
    with database.begin() as connection:
        connection.execute(sa.update(control_tasks).values(deaths=5000))  # both, so that neither is given up
    assert sorted(ledger.expire_control(database)) == sorted([worn.task_id, other.task_id])
    assert [task.state for task in queries.list_tasks(database)] == ["pending", "pending"]


def test_a_task_that_cannot_be_judged_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database)
    submit(database)
    tasks = [claim_task(database, ControlKind.PLAN, lease_s=OVER).task_id for _ in range(2)]
    give_back = control._give_back

    def break_for_one(connection: sa.Connection, task: Any, *how: Any, **more: Any) -> None:
        if task.id == tasks[0]:
            raise KeyError("a bug")
        give_back(connection, task, *how, **more)

    monkeypatch.setattr(control, "_give_back", break_for_one)
    assert ledger.expire_control(database) == [tasks[1]]
    monkeypatch.undo()
    assert ledger.expire_control(database) == [tasks[0]]
