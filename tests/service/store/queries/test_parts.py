"""What the sweep may delete."""

import sqlalchemy as sa

from gfi.store import ledger, queries
from gfi.store.database import Database
from tests.service.store.ledger_actors import (
    OVER,
    claim,
    commit,
    part,
    plan,
    records,
)


def test_the_sweep_may_delete_only_what_nobody_can_commit_any_more(database: Database) -> None:
    job = plan(database, total=12)
    old = claim(database, lease_s=OVER)
    ledger.expire_leases(database)
    now_held = claim(database, prefer=old.shard_id)
    done = claim(database)
    assert commit(database, done)
    kept = next(queries.iterate_parts(database, job)).key
    keys = {
        kept: "kept",
        part(old, 4).key: "orphan",
        part(now_held, 4).key: "held",
        part(done, 4).key: "orphan",
        "parts/nojob/nojob-0/1-x.parquet": "unknown",
        "parts/what.txt": "unknown",
    }
    assert queries.judge_parts(database, keys) == keys


def test_a_part_that_is_committed_while_it_is_judged_is_no_orphan(database: Database) -> None:
    """A soak test lost a part in this way: the sweep read the parts before the commit and the shards after it."""
    plan(database)
    claimed = claim(database)
    uploaded = part(claimed, 4)
    rows = records(range(claimed.start, claimed.stop))
    done = []

    def between(*_: object) -> None:
        if not done:
            done.append(True)
            done.append(ledger.commit_shard(database, claimed, claimed.stop, uploaded, rows))

    sa.event.listen(database.engine, "after_cursor_execute", between)
    try:
        (verdict,) = queries.judge_parts(database, [uploaded.key]).values()
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", between)
    assert done == [True, True]
    assert verdict in ("kept", "held")
    assert queries.judge_parts(database, [uploaded.key]) == {uploaded.key: "kept"}
