"""Leases that run out: suspects, quarantine, outages."""

import pytest
import sqlalchemy as sa

from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.death_rate import FEWEST_DEATHS, LONGEST_PAUSE_S
from gfi.store.ledger.reaper import DEATHS_PACKING, KILLER
from gfi.store.tables import scheduler_heartbeat, shards
from tests.service.store.ledger_actors import (
    OVER,
    claim,
    commit,
    die,
    finish_all,
    noted,
    plan,
    recorded,
    states,
)


def test_only_rows_in_flight_are_suspects_and_they_are_tried_singly(database: Database) -> None:
    job = plan(database, total=10, size=10)
    assert die(database, claim(database), in_flight=[3, 4, 7]) == "split"
    assert [(a, b) for a, b, _ in states(database, job)] == [(0, 3), (3, 4), (4, 5), (5, 7), (7, 8), (8, 10)]
    claimed = [claim(database) for _ in range(6)]
    assert [c.start for c in claimed if c.isolated] == [3, 4, 7]
    assert all(commit(database, c) for c in claimed)
    assert recorded(database, job) == dict.fromkeys(range(10), "ok")


def test_where_workers_die_all_the_time_as_many_deaths_quarantine_nobody(database: Database) -> None:
    """An image that is not the cause, with deaths in nine of ten attempts like all others, is not quarantined after ten
    times the usual deaths."""
    job = plan(database, total=60, size=1)
    assert die(database, claim(database, prefer=f"{job}-0"), in_flight=[0]) == "returned"
    for place in range(1, 5):  # many deaths that are not related to image 0
        for _ in range(9):
            assert die(database, claim(database, prefer=f"{job}-{place}"), in_flight=[place]) == "returned"
            assert die(database, claim(database, prefer=f"{job}-0"), in_flight=[0]) == "returned"
        assert commit(database, claim(database, prefer=f"{job}-{place}"))
    assert commit(database, claim(database, prefer=f"{job}-0"))


def test_an_image_that_dies_where_nobody_else_does_is_quarantined_though_others_died_before(
    database: Database,
) -> None:
    job = plan(database, total=60, size=1)
    for place in range(1, 41):
        assert die(database, claim(database, prefer=f"{job}-{place}"), in_flight=[place]) == "returned"
        assert commit(database, claim(database, prefer=f"{job}-{place}"))
    outcomes = []
    while not outcomes or outcomes[-1] == "returned":
        outcomes.append(die(database, claim(database, prefer=f"{job}-0"), in_flight=[0]))
    assert outcomes[-1] == "quarantined"
    assert FEWEST_DEATHS < len(outcomes) < 30


def test_several_images_that_kill_their_workers_do_not_excuse_each_other(database: Database) -> None:
    job = plan(database, total=30, size=1)
    for _ in range(10):
        assert commit(database, claim(database))
    quarantined = set()
    for _ in range(14):
        for killer in (20, 21, 22):
            if (
                killer not in quarantined
                and die(database, claim(database, prefer=f"{job}-{killer}"), in_flight=[killer])
                == "quarantined"
            ):
                quarantined.add(killer)
    assert quarantined == {20, 21, 22}


def test_an_image_is_quarantined_after_three_deaths_while_isolated_and_never_opened_again(
    database: Database,
) -> None:
    plan(database, total=100, size=1)
    finish_all(database)  # no other worker dies
    job = plan(database, total=3, size=3)
    assert die(database, claim(database), in_flight=[1]) == "split"
    for outcome in ("returned", "returned", "quarantined"):
        held = claim(database, prefer=f"{job}-1")
        assert (held.isolated, held.quarantined, held.start, held.stop) == (True, None, 1, 2)
        assert die(database, held, in_flight=[1]) == outcome
    killer = claim(database, prefer=f"{job}-1")
    assert killer.quarantined == KILLER.format(3)
    # The worker that records it may die for another reason: the image stays quarantined.
    assert die(database, killer) == "returned"
    killer = claim(database, prefer=f"{job}-1")
    assert killer.quarantined == KILLER.format(3)
    assert commit(database, killer, status=ImageStatus.ERROR)
    finish_all(database)
    assert recorded(database, job) == {0: "ok", 1: "error", 2: "ok"}
    assert noted(database, job, "convicted") == 1


def test_an_isolated_suspect_that_finishes_is_cleared(database: Database) -> None:
    job = plan(database, total=3, size=3)
    die(database, claim(database), in_flight=[1])
    die(database, claim(database, prefer=f"{job}-1"), in_flight=[1])
    assert commit(database, claim(database, prefer=f"{job}-1"))
    assert recorded(database, job) == {1: "ok"}


def test_a_shard_whose_workers_die_packing_it_is_halved(database: Database) -> None:
    job = plan(database, total=8, size=8)
    outcomes = [die(database, claim(database), finished=8) for _ in range(DEATHS_PACKING)]
    assert outcomes == ["returned", "returned", "split"]
    assert [(a, b) for a, b, _ in states(database, job)] == [(0, 4), (4, 8)]
    assert die(database, claim(database), finished=4) == "split", "one more halves again"
    finish_all(database)
    assert recorded(database, job) == dict.fromkeys(range(8), "ok")


def test_workers_that_die_before_they_begin_are_nobodys_fault_and_the_shard_waits_longer_each_time(
    database: Database,
) -> None:
    job = plan(database, total=4, size=4)
    pauses = []
    for _ in range(100):
        held = claim(database)
        assert ledger.renew_lease(database, held, OVER, step=0, in_flight=[]).held
        (expired,) = ledger.expire_leases(database)
        assert expired.outcome == "returned"
        (row,) = queries.list_shards(database, job)
        pauses.append(round(row["not_before"] - database.now()))
        with database.begin() as connection:
            connection.execute(sa.update(shards).values(not_before=0.0))
    assert pauses[:6] == [0, 0, 1, 2, 3, 4]
    assert pauses[-1] == LONGEST_PAUSE_S
    (waiting,) = queries.failures(database, job)
    assert (waiting["status"], waiting["error_class"], waiting["images"]) == ("pending", "worker died", 4)
    assert waiting["example"].startswith(
        "100 workers died with this shard while they worked on none of its images"
    )
    held = claim(database)
    assert queries.failures(database, job) == [waiting], "also while the next worker has not begun"
    assert commit(database, held)
    assert queries.failures(database, job) == []
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED


def test_a_worker_that_comes_back_takes_its_death_back(database: Database) -> None:
    plan(database, total=100, size=1)
    finish_all(database)
    job = plan(database, total=1)
    die(database, claim(database), in_flight=[0])
    for _ in range(2):
        cut_off = claim(database)
        die(database, cut_off, in_flight=[0])
        assert ledger.retract_death(database, cut_off)
        assert not ledger.retract_death(database, cut_off)
    for outcome in ("returned", "returned", "quarantined"):
        last = claim(database)
        assert die(database, last, in_flight=[0]) == outcome
    assert ledger.retract_death(database, last)
    assert claim(database).quarantined is None
    assert noted(database, job, "death") == 6


def pass_time(database: Database, seconds: float) -> None:
    """This much time passes without any access to the database."""
    with database.begin() as connection:
        connection.execute(sa.update(scheduler_heartbeat).values(at=scheduler_heartbeat.c.at - seconds))
        earlier = {name: shards.c[name] - seconds for name in ("lease_until", "renewed_at")}
        connection.execute(sa.update(shards).where(shards.c.state == "leased").values(earlier))


def test_after_an_outage_of_the_database_leases_go_on_where_they_were(database: Database) -> None:
    plan(database)
    held = claim(database, lease_s=8.0)
    assert ledger.expire_leases(database) == []
    pass_time(database, 3600.0)
    assert ledger.expire_leases(database) == []
    assert commit(database, held)


def test_a_long_dead_worker_is_reaped_after_an_outage_all_the_same(database: Database) -> None:
    plan(database)
    ledger.observe_time(database)
    claim(database, lease_s=OVER)
    pass_time(database, 1.0)
    assert [expired.outcome for expired in ledger.expire_leases(database)] == ["returned"]


@pytest.mark.parametrize("lease_s", [2.0, 10.0, 90.0])
def test_where_everything_is_slow_and_nothing_is_down_leases_run_out(
    database: Database, lease_s: float
) -> None:
    """The reaper runs only every 30 s. A worker that continues to renew keeps its shard, and the shard of a dead worker
    is free after at most 24 runs; in an earlier version it never was.
    """
    plan(database, total=8, size=4)
    living, dead = claim(database, lease_s=lease_s), claim(database, lease_s=lease_s)
    ledger.observe_time(database)
    expired, looks = [], 0
    while not expired:
        looks += 1
        assert looks <= 24
        pass_time(database, 30.0)
        assert ledger.renew_lease(database, living, lease_s).held
        expired = ledger.expire_leases(database)
    assert [gone.shard_id for gone in expired] == [dead.shard_id]
    assert commit(database, living)


def test_a_shard_of_a_cancelled_job_is_cancelled_when_its_worker_dies(database: Database) -> None:
    job = plan(database, total=4)
    held = claim(database)
    ledger.cancel_job(database, job)
    assert die(database, held, in_flight=[2]) == "cancelled"
    assert states(database, job) == [(0, 4, "cancelled")]
    assert queries.failures(database, job) == []
