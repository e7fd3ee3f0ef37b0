"""Messages to other systems."""

import sqlalchemy as sa

from gfi.domain.records import WEBHOOK, NotifyTarget
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import outbox
from tests.service.store.ledger_actors import finish_all, plan


def test_a_message_is_held_by_one_sender_and_sent_once(database: Database) -> None:
    told = (NotifyTarget(WEBHOOK, "https://a.example/"), NotifyTarget("mail", "ann@a.example"))
    job = plan(database, total=1, notify=told)
    finish_all(database)
    ledger.finish_jobs(database)
    (message,) = ledger.take_outbox(database, 10, 60.0, WEBHOOK)
    (mail,) = ledger.take_outbox(database, 10, 60.0, "mail")
    assert mail["job_id"] == job
    assert mail["id"] != message["id"]
    assert queries.address_on(database, job, WEBHOOK) == "https://a.example/"
    assert message["payload"] == {"job": job, "state": "succeeded"}
    assert ledger.take_outbox(database, 10, 60.0, WEBHOOK) == []
    ledger.settle_outbox(database, message["id"], "503", delay_s=0.0)
    (again,) = ledger.take_outbox(database, 10, 60.0, WEBHOOK)
    assert again["attempts"] == 2
    ledger.settle_outbox(database, message["id"])
    with database.begin() as connection:
        connection.execute(sa.update(outbox).values(not_before=0.0))
    assert ledger.take_outbox(database, 10, 0.0, WEBHOOK) == []


def test_a_job_that_tells_nobody_leaves_no_message(database: Database) -> None:
    plan(database, total=1)
    finish_all(database)
    ledger.finish_jobs(database)
    with database.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar() == 0
