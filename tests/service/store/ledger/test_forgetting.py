"""What is removed some time after its end, and what stays."""

import sqlalchemy as sa

from gfi.domain.records import WEBHOOK, NotifyTarget
from gfi.domain.states import ControlKind
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import control_tasks, outbox
from tests.service.store.ledger_actors import submit

WEEK_S = 7 * 86_400.0


def test_looks_that_ended_long_ago_are_forgotten_and_nothing_else(database: Database) -> None:
    for schedule in ("old", "open", "new"):
        ledger.request_task(database, ControlKind.LOOK, {"schedule": schedule}, owner="ada")
    ledger.request_sweep(database, 0.0)
    ended = {}
    for _ in range(4):
        task = ledger.claim_control(database, "control", 60.0)
        assert task is not None
        ended[task.payload.get("schedule", "sweep")] = task
    for name in ("old", "new", "sweep"):
        assert ledger.finish_control(database, ended[name])
    with database.begin() as connection:
        new = control_tasks.c.id == ended["new"].task_id
        older = {"created_at": control_tasks.c.created_at - WEEK_S - 1.0}
        connection.execute(sa.update(control_tasks).where(~new).values(older))
    assert ledger.forget_looks(database, WEEK_S) == 1
    assert ledger.forget_looks(database, WEEK_S) == 0
    kept = {task.id for task in queries.list_tasks(database)}
    assert kept == {ended[name].task_id for name in ("open", "new", "sweep")}


def test_messages_that_were_sent_long_ago_are_forgotten_and_those_that_wait_stay(database: Database) -> None:
    job = submit(database, notify=(NotifyTarget(WEBHOOK, "https://hook.example/"),))
    ledger.cancel_job(database, job)
    assert ledger.forget_messages(database, -1.0) == 0, "it was not sent"
    (message,) = ledger.take_outbox(database, 1, 60.0, WEBHOOK)
    ledger.settle_outbox(database, message["id"])
    assert ledger.forget_messages(database, 60.0) == 0, "it was sent just now"
    assert ledger.forget_messages(database, -1.0) == 1
    with database.read() as connection:
        assert connection.execute(sa.select(outbox.c.id)).all() == []
