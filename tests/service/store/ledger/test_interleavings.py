"""The ledger under arbitrary interleavings of everything that can happen to it.

hypothesis chooses who claims, renews, dies, commits late or in part, cancels, pauses and retries, in any order;
after each step the invariants are checked against the tables:

- every row of a planned job is in exactly one shard of its manifest: none is lost or duplicated;
- exactly the rows of committed shards have a current result, with the part of the commit;
- fences only grow, and a claim whose fence is past never changes anything;
- the counters of the shards add up to the current results, and so do the sums, merged or not;
- states follow the table of transitions; only a retry leaves the terminal states;
- the state of an ended job is the one that follows from its results, whatever was committed after its end.

At the end of each run all remaining work is done: every job must reach a terminal state with every image
accounted for.
"""

import os
from collections import Counter
from dataclasses import replace

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gfi.domain.records import JobSpec, ShardClaim
from gfi.domain.states import (
    JUDGED,
    OPEN,
    SHARD_TRANSITIONS,
    TERMINAL,
    TRANSITIONS,
    ControlKind,
    JobState,
    ShardState,
)
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict
from gfi.store.ledger.sums import sums_of
from gfi.store.tables import jobs, metadata, results, shards
from tests.service.store.ledger_actors import LEASE, OVER, part, plan_claimed, records

EXAMPLES = int(os.environ.get("GFI_TEST_EXAMPLES", "45"))
UNREADABLE = "unreadable"
NO_MODEL = "no such model"
STATUSES = st.sampled_from([ImageStatus.OK, ImageStatus.OK, ImageStatus.ERROR, ImageStatus.NOT_SETTLED])


class Service(RuleBasedStateMachine):
    """Two jobs, a few workers, and every event that can happen to them. `db` is set by the test."""

    db: Database

    @initialize()
    def empty(self) -> None:
        with self.db.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
        self.claims: list[ShardClaim] = []  # every claim ever handed out, live or not
        self.fences: dict[str, int] = {}
        self.job_states: dict[str, JobState] = {}
        self.shard_states: dict[str, ShardState] = {}
        self.retried: set[str] = set()
        self.retry_rows: dict[str, list[int]] = {}  # manifest key → the rows at its positions
        self.total: dict[str, int] = {}
        self.commits = 0

    # Actions of users.

    @precondition(lambda self: len(self.total) < 2)
    @rule(total=st.integers(1, 9), size=st.integers(1, 4))
    def submit_and_plan(self, total: int, size: int) -> None:
        spec = JobSpec(config={"n": len(self.total)}, new=True)
        job = ledger.submit_job(self.db, spec).job_id
        self._work_control(first=(total, size))
        self.total[job] = total

    @precondition(lambda self: self.total)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.total)))
        try:
            ledger.cancel_job(self.db, job)
        except Conflict:
            assert queries.get_job(self.db, job).ended

    @precondition(lambda self: self.total)
    @rule(data=st.data(), pause=st.booleans())
    def pause_or_resume(self, data: st.DataObject, pause: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.total)))
        try:
            (ledger.pause_job if pause else ledger.resume_job)(self.db, job)
        except Conflict:
            assert queries.get_job(self.db, job).ended

    @precondition(lambda self: self.total)
    @rule(data=st.data(), classes=st.sampled_from([(), ("s3",), ("s3", UNREADABLE)]))
    def retry(self, data: st.DataObject, classes: tuple[str, ...]) -> None:
        job = data.draw(st.sampled_from(sorted(self.total)))
        try:
            ledger.retry_job(self.db, job, classes=classes)
        except Conflict:
            return
        self.retried.add(job)
        self._work_control()

    @precondition(lambda self: self.total)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """A worker cannot load the model; whoever holds a lease that ran out may come back later."""
        ledger.fail_job(
            self.db, data.draw(st.sampled_from(sorted(self.total))), NO_MODEL, "model", worker="w"
        )

    # Actions of schedulers.

    @rule(window=st.integers(1, 4))
    def dispatch(self, window: int) -> None:
        ledger.dispatch(self.db, window, LEASE)

    @rule()
    def expire(self) -> None:
        ledger.expire_leases(self.db)

    @precondition(lambda self: self.total)
    @rule(data=st.data())
    def merge_sums(self, data: st.DataObject) -> None:
        ledger.merge_sums(self.db, data.draw(st.sampled_from(sorted(self.total))))

    @rule()
    def finish(self) -> None:
        for finished in ledger.finish_jobs(self.db):
            assert finished.state in TERMINAL
        self._work_control()

    # Actions of workers.

    @rule(over=st.booleans())
    def claim(self, over: bool) -> None:
        claim = ledger.claim_shard(self.db, "w", "explain", OVER if over else LEASE)
        if claim is not None:
            assert claim.fence > self.fences.get(claim.shard_id, 0)
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), over=st.booleans())
    def renew(self, data: st.DataObject, over: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        flying = data.draw(st.lists(st.integers(claim.start, claim.stop - 1), max_size=3))
        lease = OVER if over else LEASE
        answer = ledger.renew_lease(self.db, claim, lease, step=1, in_flight=flying)
        assert answer.held == self._is_held(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=STATUSES)
    def commit(self, data: st.DataObject, status: ImageStatus) -> None:
        """With any claim ever made: most are outdated, and must change nothing."""
        claim = data.draw(st.sampled_from(self.claims))
        upto = data.draw(st.integers(claim.start + 1, claim.stop))
        held, before = self._is_held(claim), self._results()
        applied = self._commit(claim, upto, status)
        after = self._results()
        if held:
            assert applied
            assert self._commit(claim, upto, status)  # after a lost answer: repeated, but written once
            assert self._results() == after
        else:
            # True only for rows that the same claim committed before.
            assert after == before

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), failure=st.booleans())
    def release(self, data: st.DataObject, failure: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        held = self._is_held(claim)
        failure_class = "s3" if failure else None
        released = ledger.release_shard(self.db, claim, "why", failure_class=failure_class, delay_s=0.0)
        assert released == held

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def retract_death(self, data: st.DataObject) -> None:
        ledger.retract_death(self.db, data.draw(st.sampled_from(self.claims)))

    # Sequences that single steps rarely produce.

    @rule()
    def taken_over(self) -> None:
        """A worker is frozen and another claims its shard; later steps may resume the first."""
        frozen = ledger.claim_shard(self.db, "frozen", "explain", OVER)
        if frozen is not None:
            self.claims.append(frozen)
            ledger.expire_leases(self.db)
            if (other := ledger.claim_shard(self.db, "other", "explain", LEASE, frozen.shard_id)) is not None:
                self.claims.append(other)

    @rule(status=STATUSES)
    def work_off(self, status: ImageStatus) -> None:
        """All waiting work is done, and all jobs that can end do so."""
        while (claim := ledger.claim_shard(self.db, "w", "explain", LEASE)) is not None:
            self.claims.append(claim)
            assert self._commit(claim, claim.stop, status)
        ledger.finish_jobs(self.db)
        self._work_control()

    # The invariants after each step.

    @invariant()
    def every_row_is_in_exactly_one_shard(self) -> None:
        spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for row in self._shards():
            spans.setdefault((row.job_id, row.generation), []).append((row.start, row.stop))
        for (job, generation), stretches in spans.items():
            total = self.total.get(job) if generation == 0 else len(self.retry_rows[f"{job}-r{generation}"])
            covered = 0
            for start, stop in sorted(stretches):
                assert start == covered, f"row {covered} lost or twice"
                assert stop > start
                covered = stop
            assert total is None or covered == total

    @invariant()
    def no_row_waits_to_be_explained_twice(self) -> None:
        waiting: Counter[tuple[str, int]] = Counter()
        for row in self._shards():
            if row.state in OPEN:
                waiting.update((row.job_id, self._row(row, at)) for at in range(row.start, row.stop))
        assert not +(waiting - Counter(set(waiting)))

    @invariant()
    def results_are_those_of_committed_shards(self) -> None:
        current = self._results()
        expected = {
            (row.job_id, self._row(row, position))
            for row in self._shards()
            if row.state == ShardState.DONE
            for position in range(row.start, row.stop)
        }
        assert set(current) == expected
        counted: Counter[tuple[str, str]] = Counter()
        for row in self._shards():
            for status in ImageStatus:
                counted[row.job_id, status.value] += row._mapping[f"n_{status}"]
        by_status = Counter((job, status) for (job, _), (status, _) in current.items())
        assert +counted == by_status
        committed = {p.id for job in self.total for p in queries.iterate_parts(self.db, job)}
        assert {part_id for _, part_id in current.values()} <= committed

    @invariant()
    def sums_are_those_of_current_results(self) -> None:
        for job in self.total:
            rows = queries.iterate_results(self.db, job, filters=queries.Filters(method=None))
            assert queries.job_sums(self.db, job, cells=True) == sums_of(rows)

    @invariant()
    def states_follow_the_table_and_fences_grow(self) -> None:
        with self.db.read() as connection:
            for job in connection.execute(sa.select(jobs.c.id, jobs.c.state)):
                before, after = self.job_states.get(job.id), JobState(job.state)
                # Several steps may lie between two checks; ended jobs stay ended unless they were retried.
                if before in TERMINAL and after != before and not {before, after} <= JUDGED:
                    assert job.id in self.retried
                self.job_states[job.id] = after
                assert before is None or _reachable(TRANSITIONS, before, after)
        for row in self._shards():
            if self.job_states[row.job_id] in TERMINAL:
                assert row.state != ShardState.PENDING
            assert row.fence >= self.fences.get(row.id, 0)
            self.fences[row.id] = row.fence
            before_, after_ = self.shard_states.get(row.id), ShardState(row.state)
            if before_ is ShardState.DONE:
                assert after_ is ShardState.DONE
            assert before_ is None or _reachable(SHARD_TRANSITIONS, before_, after_)
            self.shard_states[row.id] = after_
        self.retried.clear()

    @invariant()
    def ended_jobs_are_what_their_results_are(self) -> None:
        current = self._results()
        for job, total in self.total.items():
            stored = queries.get_job(self.db, job)
            if stored.state not in JUDGED:
                continue
            statuses = [ImageStatus(status) for (owner, _), (status, _) in current.items() if owner == job]
            usable = sum(status not in UNUSABLE for status in statuses)
            if usable == total:
                # A job that was failed as a whole says so until another result arrives.
                assert stored.state is JobState.SUCCEEDED or stored.error == NO_MODEL
            else:
                assert stored.state is (JobState.PARTIAL if usable else JobState.FAILED)

    def teardown(self) -> None:
        """Do all the remaining work."""
        if not hasattr(self, "total"):
            return
        for job in self.total:
            if not queries.get_job(self.db, job).ended:
                ledger.resume_job(self.db, job)
        with self.db.begin() as connection:
            connection.execute(
                sa.update(shards).where(shards.c.state == ShardState.LEASED.value).values(lease_until=0.0)
            )
        ledger.expire_leases(self.db)
        with self.db.begin() as connection:  # end the pauses before further attempts
            connection.execute(sa.update(shards).values(not_before=0.0))
        while (claim := ledger.claim_shard(self.db, "w", "explain", LEASE)) is not None:
            assert self._commit(claim, claim.stop, ImageStatus.ERROR if claim.quarantined else ImageStatus.OK)
        ledger.finish_jobs(self.db)
        self.every_row_is_in_exactly_one_shard()
        self.results_are_those_of_committed_shards()
        self.sums_are_those_of_current_results()
        for job, total in self.total.items():
            ended = queries.get_job(self.db, job)
            assert ended.ended
            if ended.state is JobState.SUCCEEDED:
                assert sum(1 for owner, _ in self._results() if owner == job) == total

    # Helpers of the steps.

    def _work_control(self, first: tuple[int, int] | None = None) -> None:
        while (task := ledger.claim_control(self.db, "control", LEASE)) is not None:
            if task.kind is ControlKind.PLAN:
                assert first is not None
                assert plan_claimed(self.db, task, *first)
            elif task.kind is ControlKind.RETRY:
                assert task.job_id is not None
                classes, tried = task.payload["classes"], {}
                for generation, key, start, stop in queries.failed_in_retries(self.db, task.job_id, classes):
                    tried |= dict.fromkeys(self.retry_rows[key][start:stop], generation)
                asked = (task.payload["statuses"], classes, tried)
                rows = list(queries.rows_with_status(self.db, task.job_id, *asked))
                key = f"{task.job_id}-r{task.generation}"
                self.retry_rows[key] = rows
                stretches = [(start, min(start + 2, len(rows))) for start in range(0, len(rows), 2)]
                assert ledger.finish_retry(self.db, task, manifest_key=key, total=len(rows), shards=stretches)
            else:
                assert ledger.finish_control(self.db, task)

    def _commit(self, claim: ShardClaim, upto: int, status: ImageStatus) -> bool:
        rows = [self._row(claim, position) for position in range(claim.start, upto)]
        self.commits += 1  # each attempt at an image has other numbers
        explained = [
            replace(
                result,
                label=(None, "cat", "7")[(result.row + self.commits) % 3],
                prediction=self.commits % 2,
                kept=(result.row + self.commits) / 7,
                metrics={"pointing_hit": float(self.commits % 2)},
            )
            for result in records(
                rows, status, error_class=UNREADABLE if status is ImageStatus.ERROR else None
            )
        ]
        return ledger.commit_shard(self.db, claim, upto, part(claim, len(rows)), explained)

    def _row(self, stretch: object, position: int) -> int:
        generation = stretch.generation  # type: ignore[attr-defined]
        if generation == 0:
            return position
        return self.retry_rows[f"{stretch.job_id}-r{generation}"][position]  # type: ignore[attr-defined]

    def _is_held(self, claim: ShardClaim) -> bool:
        query = sa.select(shards.c.state, shards.c.fence).where(shards.c.id == claim.shard_id)
        with self.db.read() as connection:
            row = connection.execute(query).one()
        return (row.state, row.fence) == (ShardState.LEASED.value, claim.fence)

    def _shards(self) -> list[sa.Row]:
        with self.db.read() as connection:
            return list(connection.execute(sa.select(shards)))

    def _results(self) -> dict[tuple[str, int], tuple[str, str]]:
        query = sa.select(results.c.job_id, results.c.row, results.c.status, results.c.part_id)
        with self.db.read() as connection:
            return {(r.job_id, r.row): (r.status, r.part_id) for r in connection.execute(query)}


def _reachable(table, before, after) -> bool:
    """Whether `after` follows from `before` in any number of allowed steps."""
    seen, frontier = {before}, [before]
    while frontier:
        for state in table[frontier.pop()] - seen:
            seen.add(state)
            frontier.append(state)
    return after in seen


def test_no_interleaving_loses_or_doubles_an_image(database: Database) -> None:
    Service.db = database
    examples = EXAMPLES if database.is_sqlite else EXAMPLES // 3
    run_state_machine_as_test(
        Service,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=True,
        ),
    )
