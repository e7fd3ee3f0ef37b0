"""Shards in workers' hands: claims, leases, commits, releases, deaths and hints."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.records import ResultRecord
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.death_rate import FEWEST_DEATHS, LONGEST_PAUSE_S
from gfi.store.ledger.leases import OTHER_RELEASES, TRANSIENT_RELEASES
from gfi.store.ledger.reaper import DEATHS_PACKING, KILLER
from gfi.store.tables import scheduler_heartbeat, shards
from tests.service.store.acting import (
    LEASE,
    OVER,
    claim,
    claim_task,
    commit,
    die,
    finish_all,
    noted,
    part,
    plan,
    recorded,
    records,
    states,
)


def test_a_single_worker_takes_turns_between_jobs(database: Database) -> None:
    big, small = plan(database, total=8, size=1), plan(database, total=2, size=1)
    order = []
    for _ in range(4):
        held = claim(database, prefer=f"{big}-7")  # the messages in Redis are all the big job's
        order.append(held.job_id)
        assert commit(database, held)
    assert order == [big, small, big, small]


def test_a_small_job_behind_a_big_one_is_next(database: Database) -> None:
    big = plan(database, total=100, size=10)
    assert claim(database).job_id == big
    small = plan(database, total=1)
    assert claim(database).job_id == small
    assert [claim(database).start for _ in range(2)] == [10, 20]


def test_workers_are_shared_evenly_among_jobs(database: Database) -> None:
    jobs = {plan(database, total=10, size=1) for _ in range(3)}
    claimed = [claim(database).job_id for _ in range(9)]
    assert {claimed.count(job) for job in jobs} == {3}


def test_priority_comes_before_fairness(database: Database) -> None:
    plan(database)
    urgent = plan(database, total=3, size=1, priority=5)
    assert {claim(database).job_id for _ in range(3)} == {urgent}
    late = plan(database, total=3, size=1)
    ledger.set_priority(database, late, 9)
    assert claim(database).job_id == late


def test_the_preferred_shard_breaks_ties_and_no_more(database: Database) -> None:
    first = plan(database, total=4, size=1)
    second = plan(database, total=4, size=1)
    assert claim(database, prefer=f"{second}-2").shard_id == f"{second}-2"
    assert claim(database, prefer=f"{second}-3").job_id == first  # it has fewer in hand
    assert claim(database, prefer="no-such-shard").shard_id == f"{first}-1"


def test_a_job_frozen_to_one_kind_of_device_waits_for_it(database: Database) -> None:
    job = plan(database)
    ledger.freeze_profile(database, job, {"batch": 8}, "cuda:H200")
    assert ledger.claim_shard(database, "w", "explain", LEASE, device_kind="cpu") is None
    (hint, *_) = hints = ledger.dispatch(database, 10, LEASE)
    assert ledger.claim_shard(database, "w", "explain", LEASE, prefer=hint.id, device_kind="cpu") is None
    assert ledger.dispatch(database, 10, LEASE) == [hint], "the wrong worker took its message"
    assert len(hints) > 1
    assert claim(database, device_kind="cuda:H200").profile == {"batch": 8}


def test_queues_are_kept_apart(database: Database) -> None:
    plan(database, queue="interactive")
    assert ledger.claim_shard(database, "w", "explain", LEASE) is None
    assert ledger.claim_shard(database, "w", "interactive", LEASE) is not None


def test_eight_claiming_at_once_take_every_shard_once(database: Database) -> None:
    plan(database, total=40, size=1)
    plan(database, total=20, size=1)
    taken: list[tuple[str, int]] = []
    barrier = threading.Barrier(8)

    def work(name: int) -> None:
        barrier.wait()
        idle = 0
        while idle < 3:  # locked by another is not gone: look again
            got = ledger.claim_shard(database, f"w{name}", "explain", LEASE)
            idle = 0 if got else idle + 1
            if got:
                taken.append((got.shard_id, got.fence))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(taken) == len(set(taken)) == 60


def test_a_commit_may_cover_a_prefix_and_leave_the_rest_to_others(database: Database) -> None:
    job = plan(database, total=10, size=10)
    assert commit(database, claim(database), upto=3)
    assert states(database, job) == [(0, 3, "done"), (3, 10, "pending")]
    assert commit(database, claim(database), upto=9)
    finish_all(database)
    assert states(database, job) == [(0, 3, "done"), (3, 9, "done"), (9, 10, "done")]
    assert recorded(database, job) == dict.fromkeys(range(10), "ok")
    progress = queries.job_progress(database, job)
    assert (progress.done, progress.by_status["ok"], progress.shards["done"]) == (10, 10, 3)


def test_a_commit_whose_answer_was_lost_is_told_again_and_written_once(database: Database) -> None:
    job = plan(database, total=4)
    held = claim(database)
    assert commit(database, held, upto=2)
    assert commit(database, held, upto=2)
    assert not commit(database, held, upto=4)
    assert recorded(database, job) == {0: "ok", 1: "ok"}
    assert len(list(queries.iterate_parts(database, job))) == 1


def test_a_worker_without_its_lease_changes_nothing(database: Database) -> None:
    job = plan(database, total=4)
    frozen = claim(database, lease_s=OVER)
    assert [e.outcome for e in ledger.expire_leases(database)] == ["returned"]
    for _ in range(2):  # before and after somebody else has it
        assert not ledger.renew_lease(database, frozen, LEASE, in_flight=[0]).held
        assert not commit(database, frozen)
        assert not ledger.release_shard(database, frozen, "stopped")
        other = ledger.claim_shard(database, "other", "explain", LEASE)
    assert other is None
    assert recorded(database, job) == {}
    (row,) = queries.list_shards(database, job)
    assert (row["state"], row["worker"], row["fence"]) == ("leased", "other", frozen.fence + 1)


def test_a_renewed_lease_is_not_reaped(database: Database) -> None:
    plan(database)
    held = claim(database, lease_s=OVER)
    assert ledger.renew_lease(database, held, LEASE).held
    assert ledger.expire_leases(database) == []


def test_metrics_of_several_methods_and_targets_are_kept_beside_each_other(database: Database) -> None:
    job = plan(database, total=2)
    held = claim(database)
    rows = [
        ResultRecord(
            row=row, key="k", status=ImageStatus.OK, method=method, target_rank=rank, metrics=metrics
        )
        for row in (0, 1)
        for method, rank, metrics in (
            ("gfi", 0, {"deletion": 0.25, "entropy": float("nan")}),
            ("gfi", 1, {}),
            ("grad-cam", 0, {"deletion": 0.5}),
        )
    ]
    assert ledger.commit_shard(database, held, 2, part(held, 6), rows)
    assert queries.job_progress(database, job).done == 2
    assert queries.means(database, job) == {"deletion": (0.25, 2)}
    assert queries.means(database, job, method="grad-cam") == {"deletion": (0.5, 2)}


def test_a_release_in_order_blames_nobody_however_often(database: Database) -> None:
    job = plan(database, total=4)
    for _ in range(TRANSIENT_RELEASES + 1):
        held = claim(database)
        ledger.renew_lease(database, held, LEASE, in_flight=[0, 1])
        assert ledger.release_shard(database, held, "SIGTERM")
    assert states(database, job) == [(0, 4, "pending")]
    assert noted(database, job, "death") == 0


@pytest.mark.parametrize(("transient", "most"), [(True, TRANSIENT_RELEASES), (False, OTHER_RELEASES)])
def test_a_shard_that_makes_no_progress_is_given_up_listed_and_can_be_retried(
    database: Database, transient: bool, most: int
) -> None:
    job = plan(database, total=6, size=3)
    assert commit(database, claim(database))
    for _ in range(most):
        held = claim(database)
        assert ledger.release_shard(
            database, held, "the bucket is away", failure_class="s3", transient=transient, delay_s=0.0
        )
    assert states(database, job) == [(0, 3, "done"), (3, 6, "failed")]
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL
    assert queries.get_job(database, job).error == "3 images were given up: the bucket is away"
    (failure,) = queries.failures(database, job)
    assert (failure["status"], failure["error_class"], failure["images"]) == ("failed", "s3", 3)


def test_a_retry_by_class_leaves_what_failed_otherwise(database: Database) -> None:
    job = plan(database, total=6, size=3)
    for failure_class in ("memory", "internal"):
        for _ in range(OTHER_RELEASES):
            held = claim(database)
            assert ledger.release_shard(database, held, "no", failure_class=failure_class, delay_s=0.0)
    assert ledger.finish_jobs(database)[0].state is JobState.FAILED
    ledger.retry_job(database, job, classes=["internal"])
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    assert states(database, job) == [(0, 3, "failed"), (3, 6, "pending")]
    assert commit(database, claim(database))
    assert ledger.finish_jobs(database)[0].state is JobState.PARTIAL


def test_a_quarantine_that_nobody_recorded_is_forgotten_by_a_retry(database: Database) -> None:
    job = plan(database, total=1)
    while die(database, claim(database), in_flight=[0]) != "quarantined":
        pass
    ledger.cancel_job(database, job)
    ledger.retry_job(database, job)
    task = claim_task(database, ControlKind.RETRY)
    assert ledger.finish_retry(database, task, manifest_key=None, total=0, shards=[])
    assert claim(database).quarantined is None


def test_a_failure_waits_before_the_next_attempt(database: Database) -> None:
    job = plan(database, total=4)
    assert ledger.release_shard(database, claim(database), "away", failure_class="s3", transient=True)
    assert ledger.claim_shard(database, "w", "explain", LEASE) is None
    assert ledger.dispatch(database, 10, LEASE) == []
    (row,) = queries.list_shards(database, job)
    assert 1.0 < row["not_before"] - database.now() < 3.0


def test_progress_clears_a_shards_record_of_failures(database: Database) -> None:
    job = plan(database, total=4)
    for row in range(4):
        for _ in range(OTHER_RELEASES - 1):
            held = claim(database)
            assert ledger.release_shard(database, held, "away", failure_class="s3", delay_s=0.0)
        assert commit(database, claim(database), upto=row + 1)
    assert ledger.finish_jobs(database)[0].state is JobState.SUCCEEDED
    assert recorded(database, job) == dict.fromkeys(range(4), "ok")


def test_only_rows_in_flight_are_suspects_and_they_are_tried_singly(database: Database) -> None:
    job = plan(database, total=10, size=10)
    assert die(database, claim(database), in_flight=[3, 4, 7]) == "split"
    assert [(a, b) for a, b, _ in states(database, job)] == [(0, 3), (3, 4), (4, 5), (5, 7), (7, 8), (8, 10)]
    claimed = [claim(database) for _ in range(6)]
    assert [c.start for c in claimed if c.isolated] == [3, 4, 7]
    assert all(commit(database, c) for c in claimed)
    assert recorded(database, job) == dict.fromkeys(range(10), "ok")


def test_where_workers_die_all_the_time_as_many_deaths_quarantine_nobody(database: Database) -> None:
    """An innocent image that dies in nine attempts of ten, like all others, outlasts ten times the usual deaths."""
    job = plan(database, total=60, size=1)
    assert die(database, claim(database, prefer=f"{job}-0"), in_flight=[0]) == "returned"
    for place in range(1, 5):  # an epidemic that has nothing to do with image 0
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


def test_several_guilty_images_do_not_excuse_each_other(database: Database) -> None:
    job = plan(database, total=30, size=1)
    for _ in range(10):
        assert commit(database, claim(database))
    quarantined = set()
    for _ in range(14):
        for guilty in (20, 21, 22):
            if (
                guilty not in quarantined
                and die(database, claim(database, prefer=f"{job}-{guilty}"), in_flight=[guilty])
                == "quarantined"
            ):
                quarantined.add(guilty)
    assert quarantined == {20, 21, 22}


def test_an_image_is_quarantined_after_three_deaths_while_isolated_and_never_opened_again(
    database: Database,
) -> None:
    plan(database, total=100, size=1)
    finish_all(database)  # a fleet in which nobody else dies
    job = plan(database, total=3, size=3)
    assert die(database, claim(database), in_flight=[1]) == "split"
    for outcome in ("returned", "returned", "quarantined"):
        held = claim(database, prefer=f"{job}-1")
        assert (held.isolated, held.quarantined, held.start, held.stop) == (True, None, 1, 2)
        assert die(database, held, in_flight=[1]) == outcome
    guilty = claim(database, prefer=f"{job}-1")
    assert guilty.quarantined == KILLER.format(3)
    # The worker that records it may die too, of something else: it stays quarantined.
    assert die(database, guilty) == "returned"
    guilty = claim(database, prefer=f"{job}-1")
    assert guilty.quarantined == KILLER.format(3)
    assert commit(database, guilty, status=ImageStatus.ERROR)
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
    assert commit(database, claim(database))
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
    """So much time passes in which nobody reaches the database."""
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
    """Every look of the reaper comes 30 s after the last one. A worker that goes on renewing keeps its shard, and the
    shard of a dead one is free after at most two dozen looks; it never was.
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
    """Eight messages for one job; they are spent on another, which was not published. Were their marks to
    stay, Redis would be empty and the window full until a lease had passed.
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
    from tests.service.store.acting import submit

    job = submit(database)
    (hint,) = ledger.dispatch(database, 8, LEASE)
    assert (hint.queue, hint.job_id) == (CONTROL_QUEUE, job)
    assert ledger.dispatch(database, 8, LEASE) == []
    claimed = ledger.claim_control(database, "w", LEASE, prefer=hint.id)
    assert claimed is not None
    assert claimed.task_id == hint.id


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
    """A soak lost one so: its shard had ended when the sweep looked, and its part was not there when it had."""
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
