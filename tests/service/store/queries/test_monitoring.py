"""What an operator is alerted of."""

import sqlalchemy as sa

from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.tables import jobs, outbox, shards
from tests.service.store.ledger_actors import OVER, claim, plan


def test_work_that_waits_leases_that_ended_and_messages_are_seen(database: Database) -> None:
    job_id = plan(database, total=30, size=10)
    held = claim(database, OVER)
    with database.begin() as connection:
        for table, column in ((jobs, "planned_at"), (shards, "leased_at")):
            connection.execute(
                sa.update(table).where(table.c[column].is_not(None)).values({column: table.c[column] - 500})
            )
        connection.execute(
            sa.insert(outbox).values(
                id="m", job_id=job_id, kind="job", channel="email", payload={}, created_at=0
            )
        )
    seen = queries.monitored(database)
    assert 500 <= seen.oldest_waiting_s[EXPLAIN_QUEUE] < 600
    assert seen.overdue == 1
    assert 500 <= seen.oldest_lease_s < 600
    assert seen.unsent == {"email": 1}
    assert seen.oldest_unsent_s > 1e9
    ledger.release_shard(database, held, reason="out of memory", failure_class="resources")
    assert queries.monitored(database).incidents == {("release", "resources"): 1}
