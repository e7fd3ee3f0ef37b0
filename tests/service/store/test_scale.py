"""A job of ten million images beside small ones: 150,000 shards, on SQLite and PostgreSQL."""

import sqlalchemy as sa

from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.tables import shards
from tests.service.store.acting import LEASE, claim, commit, plan

IMAGES, SHARD = 9_600_000, 64
SMALL = 30


def test_small_jobs_behind_ten_million_images_are_next_and_no_claim_reads_the_table(
    database: Database,
) -> None:
    big = plan(database, total=IMAGES, size=SHARD)
    with database.begin() as connection:
        half = sa.update(shards).where(shards.c.start < IMAGES // 2)
        connection.execute(half.values(state="done", done_at=1.0))
    assert claim(database).job_id == big
    # What a busy database knows of itself: one job owns the table. It then takes a look at any page for a good idea.
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    small = [plan(database, total=2 * SHARD, size=SHARD) for _ in range(SMALL)]

    asked = _listen(database)
    order = []
    for _ in range(SMALL):
        held = claim(
            database, prefer=f"{big}-{IMAGES - SHARD}"
        )  # the messages in Redis are all the big job's
        order.append(held.job_id)
        assert commit(database, held)
    assert order == small, "each small job is served before the big one again"
    assert claim(database).job_id in small, "which has a shard in hand, and they have none"
    ledger.dispatch(database, 64, LEASE)
    ledger.expire_leases(database)
    ledger.finish_jobs(database)
    for statement, values in list(asked):
        if "shards" in statement and not statement.startswith("INSERT"):
            _uses_an_index(database, statement, values)


def _listen(database: Database) -> list[tuple[str, object]]:
    asked: list[tuple[str, object]] = []

    def note(*given: object) -> None:
        asked.append((str(given[2]), given[3]))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    return asked


def _uses_an_index(database: Database, statement: str, values: object) -> None:
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.read() as connection:
        plan = "\n".join(map(str, connection.exec_driver_sql(explain + statement, values)))  # type: ignore[arg-type]
    reads_all = "SCAN shards'" if database.is_sqlite else "Seq Scan on shards"
    assert reads_all not in plan, f"{statement}\n{plan}"
