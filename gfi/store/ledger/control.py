"""What happens to a control task: planning, retrying, reporting, sweeping.

    pending → leased → done | failed | cancelled

Leased and fenced like shards, so that any number of control workers may run and die. A task that fails and says why is
attempted `ATTEMPTS` times. A worker that dies over it says nothing, and most deaths have other causes: they are counted
apart, with pauses that double. Only `DEATHS` of them give a task up, and only where other tasks do not meet as many
(`gfi.store.ledger.death_rate`). When a `plan` is given up its job fails with the reason; a `retry` that is given up
returns its job to the state it had; a report that is given up costs the report alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from gfi.domain.records import ControlClaim
from gfi.domain.states import OPEN, TERMINAL, ControlKind, JobState, ShardState
from gfi.store.database import Database, now
from gfi.store.errors import LimitExceeded
from gfi.store.ledger import death_rate
from gfi.store.ledger.guards import job_moves, lock_job, shard_moves
from gfi.store.ledger.jobs import add_control_task, announce
from gfi.store.tables import control_tasks, in_state, jobs, parts, shards

ATTEMPTS = 5
DEATHS = 9
"""At least. More than of an image, since a death over a control task costs a restart and not a batch on a GPU."""
LONGEST_PAUSE_S = 300.0
LISTED_EVERY = 1000
_BULK = 1000
_SWEEP_LOCK = 7_305_003


def request_regular_sweep(db: Database, every_s: float) -> str | None:
    """A `sweep` task, unless one is under way or one was requested within `every_s` seconds; whichever scheduler asks.

    Returns its id, or None.
    """
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SWEEP_LOCK)))
        recent = sa.or_(control_tasks.c.state.in_(sorted(OPEN)), control_tasks.c.created_at > now() - every_s)
        known = sa.select(control_tasks.c.id).where(control_tasks.c.kind == ControlKind.SWEEP.value, recent)
        if connection.execute(known.limit(1)).scalar() is not None:
            return None
        return add_control_task(connection, ControlKind.SWEEP, None)


def request_sweep(db: Database, payload: Mapping[str, Any] | None = None) -> str:
    """A `sweep` task, or the one that waits already. Returns its id."""
    with db.begin() as connection:
        waiting = sa.select(control_tasks.c.id).where(
            control_tasks.c.kind == ControlKind.SWEEP.value,
            in_state(control_tasks, ShardState.PENDING),
        )
        if (task_id := connection.execute(waiting.limit(1)).scalar()) is not None:
            return task_id
        return add_control_task(connection, ControlKind.SWEEP, None, dict(payload or {}))


def request_report(db: Database, job_id: str) -> str:
    """Another `report` task for a job. Returns its id."""
    with db.begin() as connection:
        lock_job(connection, job_id, shared=True)
        return add_control_task(connection, ControlKind.REPORT, job_id)


def request_lists(db: Database, every: int = LISTED_EVERY) -> list[str]:
    """A `list` task for each running job with `every` parts more than its last list names. Returns their ids.

    The list is what results are rebuilt from when the database is lost: it must not be a day old.
    """
    counted = (
        sa.select(parts.c.job_id, sa.func.count().label("parts"))
        .join(jobs, jobs.c.id == parts.c.job_id)
        .where(in_state(jobs, JobState.RUNNING))
        .group_by(parts.c.job_id)
        .having(sa.func.count() >= every)
    )
    with db.read() as connection:
        grown = connection.execute(counted).all()
    asked = []
    for job_id, number in grown:
        with db.begin() as connection:
            if lock_job(connection, job_id).state != JobState.RUNNING:
                continue
            lists = connection.execute(
                sa.select(control_tasks.c.state, control_tasks.c.result).where(
                    control_tasks.c.job_id == job_id, control_tasks.c.kind == ControlKind.LIST.value
                )
            ).all()
            listed = max(((each.result or {}).get("parts", 0) for each in lists), default=0)
            if number - listed >= every and not any(each.state in OPEN for each in lists):
                asked.append(add_control_task(connection, ControlKind.LIST, job_id))
    return asked


def claim_control(
    db: Database, worker: str, lease_s: float, prefer: str | None = None
) -> ControlClaim | None:
    """pending → leased, the preferred task or the oldest; a `plan` moves its job queued → planning.

    Returns None when nothing waits.
    """
    waiting = (
        sa.select(control_tasks.c.id, control_tasks.c.job_id)
        .where(in_state(control_tasks, ShardState.PENDING), control_tasks.c.not_before <= now())
        .order_by((control_tasks.c.id == (prefer or "")).desc(), control_tasks.c.created_at)
        .limit(1)
    )
    while True:
        with db.begin() as connection:
            candidate = connection.execute(waiting).one_or_none()
            if candidate is None:
                return None
            if (claim := _claim(connection, candidate.id, candidate.job_id, worker, lease_s)) is not None:
                return claim  # otherwise another worker was faster: look again


def _claim(
    connection: sa.Connection, task_id: str, job_id: str | None, worker: str, lease_s: float
) -> ControlClaim | None:
    job = lock_job(connection, job_id) if job_id is not None else None
    task = connection.execute(
        sa.update(control_tasks)
        .where(
            control_tasks.c.id == task_id, shard_moves(control_tasks, ShardState.PENDING, ShardState.LEASED)
        )
        .values(
            state=ShardState.LEASED.value,
            fence=control_tasks.c.fence + 1,
            attempts=control_tasks.c.attempts + 1,
            worker=worker,
            leased_at=now(),
            renewed_at=now(),
            lease_until=now() + lease_s,
        )
        .returning(control_tasks)
    ).one_or_none()
    if task is None:
        return None
    if task.kind == ControlKind.PLAN:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, job_moves(JobState.QUEUED, JobState.PLANNING))
            .values(state=JobState.PLANNING.value)
        )
    return ControlClaim(
        task_id=task.id,
        kind=ControlKind(task.kind),
        job_id=task.job_id,
        payload=task.payload or {},
        fence=task.fence,
        worker=worker,
        attempt=task.attempts,
        stored_config=job.config if job else None,
        model=job.model if job else None,
        generation=job.generation if job else 0,
    )


def renew_control(db: Database, claim: ControlClaim, lease_s: float) -> bool:
    """leased → leased, for `lease_s` more. False: it is no longer this worker's (or was cancelled)."""
    with db.begin() as connection:
        changed = connection.execute(
            sa.update(control_tasks).where(_held(claim)).values(renewed_at=now(), lease_until=now() + lease_s)
        )
        return bool(changed.rowcount)


def finish_control(db: Database, claim: ControlClaim, result: Mapping[str, Any] | None = None) -> bool:
    """leased → done, for a report or a sweep. False when it came too late; True again on repetition."""
    with db.begin() as connection:
        return _finish(connection, claim, dict(result or {}))


def release_control(db: Database, claim: ControlClaim, reason: str = "stopped") -> bool:
    """leased → pending, by a worker that is told to stop; the attempt is not counted.

    False when it came too late. Then a death was concluded from the overdue lease of a worker that lives: it is
    taken back.
    """
    with db.begin() as connection:
        changed = connection.execute(
            sa.update(control_tasks)
            .where(_held(claim), shard_moves(control_tasks, ShardState.LEASED, ShardState.PENDING))
            .values(
                state=ShardState.PENDING.value,
                attempts=control_tasks.c.attempts - 1,
                reason=reason,
                published_at=None,
            )
        )
        if not changed.rowcount:
            connection.execute(
                sa.update(control_tasks)
                .where(
                    control_tasks.c.id == claim.task_id,
                    control_tasks.c.state.in_(OPEN),
                    control_tasks.c.deaths > 0,
                )
                .values(deaths=control_tasks.c.deaths - 1)
            )
        return bool(changed.rowcount)


def fail_control(
    db: Database,
    claim: ControlClaim,
    error: str,
    *,
    retry: bool = True,
    delay_s: float | None = None,
    failure_class: str | None = None,
) -> bool:
    """leased → pending for another attempt after a back-off; → failed after the last, or without `retry`
    (an error that time does not heal: no such directory). False when it came too late.
    """
    with db.begin() as connection:
        if claim.job_id is not None:
            lock_job(connection, claim.job_id)
        task = connection.execute(
            sa.select(control_tasks).where(_held(claim)).with_for_update()
        ).one_or_none()
        if task is None:
            return False
        delay = min(LONGEST_PAUSE_S, 2.0**task.attempts) if delay_s is None else delay_s
        again = retry and task.attempts < ATTEMPTS
        _give_back(connection, task, error, failure_class, again=again, delay_s=delay)
        return True


def expire_control(db: Database) -> list[str]:
    """leased → pending (→ failed after `DEATHS`), every control task whose lease ran out.

    At once after the first death, then after a pause that doubles: whatever kills workers may end meanwhile. Returns
    their ids.
    """
    overdue = sa.and_(in_state(control_tasks, ShardState.LEASED), control_tasks.c.lease_until < now())
    with db.read() as connection:
        found = connection.execute(sa.select(control_tasks).where(overdue)).all()
    expired = []
    for task in found:
        with db.begin() as connection:
            if task.job_id is not None:
                lock_job(connection, task.job_id)
            still = connection.execute(
                sa.select(control_tasks)
                .where(control_tasks.c.id == task.id, control_tasks.c.fence == task.fence, overdue)
                .with_for_update()
            ).one_or_none()
            if still is not None:
                deaths = still.deaths + 1
                reason = f"worker {still.worker} stopped renewing its lease"
                given_up = deaths >= DEATHS and death_rate.stand_out(
                    deaths, *_other_attempts(connection, still)
                )
                if given_up:
                    reason = f"{deaths} workers died over it; the last: {reason}"
                delay = 0.0 if deaths == 1 else min(LONGEST_PAUSE_S, 2.0 ** (deaths - 2))
                connection.execute(
                    sa.update(control_tasks)
                    .where(control_tasks.c.id == still.id)
                    .values(deaths=deaths, attempts=control_tasks.c.attempts - 1)
                )
                _give_back(connection, still, reason, "worker", again=not given_up, delay_s=delay)
                expired.append(still.id)
    return expired


def _other_attempts(connection: sa.Connection, task: sa.Row[Any]) -> tuple[int, int]:
    """(deaths, successes) over other control tasks since this one was asked for."""
    others = sa.and_(control_tasks.c.id != task.id, control_tasks.c.renewed_at >= task.created_at)
    done = sa.case((in_state(control_tasks, ShardState.DONE), 1), else_=0)
    sums = sa.select(sa.func.sum(control_tasks.c.deaths), sa.func.sum(done)).where(others)
    deaths, successes = connection.execute(sums).one()
    return int(deaths or 0), int(successes or 0)


def finish_planning(
    db: Database,
    claim: ControlClaim,
    *,
    manifest_key: str,
    manifest_digest: str,
    total: int,
    shards: Iterable[tuple[int, int]],
    facts: Mapping[str, Any] | None = None,
    listing_digest: str | None = None,
    max_images: int | None = None,
) -> bool:
    """planning → running, with every shard [start, stop) of the manifest, in one transaction.

    A manifest without images fails the job, one above `max_images` raises LimitExceeded. Returns False when
    the claim is no longer held; True also when this very claim had planned it before.
    """
    assert claim.job_id is not None
    if max_images is not None and total > max_images:
        raise LimitExceeded(
            f"the data set has {total} images, GFI_MAX_IMAGES_PER_JOB allows {max_images}; split it"
        )
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        if not _finish(connection, claim, {"total": total}):
            return False
        if job.manifest_key is not None:
            return True  # planned by this claim: the client did not hear of its own commit
        planned = {
            "manifest_key": manifest_key,
            "manifest_digest": manifest_digest,
            "total": total,
            "facts": dict(facts or {}),
            "planned_at": now(),
        }
        if listing_digest is not None:
            planned["listing_digest"] = listing_digest
        if total == 0:
            _end_planning(connection, claim.job_id, JobState.FAILED, "the data set has no images")
            return True
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_moves(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, state_before=None, **planned)
        )
        covered = _insert_shards(connection, claim.job_id, 0, manifest_key, shards)
        if covered != total:
            raise ValueError(f"shards cover {covered} of {total} images")
        return True


def finish_retry(
    db: Database,
    claim: ControlClaim,
    *,
    manifest_key: str | None,
    total: int,
    shards: Iterable[tuple[int, int]],
) -> bool:
    """planning → running: shards over the retry's own manifest (of `total` rows; None when no row had one
    of the wanted statuses), and shards that failed or were cancelled pending again, their record in
    `incidents`. With nothing to do at all the job returns to the state it had; but one that was cancelled when its
    last shard had just been committed is complete, and runs on to its verdict. False when too late.
    """
    assert claim.job_id is not None
    with db.begin() as connection:
        job = lock_job(connection, claim.job_id)
        already = job.state != JobState.PLANNING or job.generation != claim.generation
        if not _finish(connection, claim, {"total": total}):
            return False
        if already:
            return True
        opened = _reopen(connection, claim.job_id, claim.payload.get("classes", ()))
        if total and manifest_key is not None:
            covered = _insert_shards(connection, claim.job_id, job.generation, manifest_key, shards)
            if covered != total:
                raise ValueError(f"shards cover {covered} of {total} images")
        before = JobState(job.state_before)
        if not total and not opened and before is not JobState.CANCELLED:
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == claim.job_id, job_moves(JobState.PLANNING, before))
                .values(state=before.value, state_before=None, finished_at=now())
            )
            return True
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == claim.job_id, job_moves(JobState.PLANNING, JobState.RUNNING))
            .values(state=JobState.RUNNING.value, state_before=None)
        )
        return True


def _held(claim: ControlClaim) -> sa.ColumnElement[bool]:
    return sa.and_(
        control_tasks.c.id == claim.task_id,
        control_tasks.c.fence == claim.fence,
        in_state(control_tasks, ShardState.LEASED),
    )


def _finish(connection: sa.Connection, claim: ControlClaim, result: dict[str, Any]) -> bool:
    changed = connection.execute(
        sa.update(control_tasks)
        .where(_held(claim), shard_moves(control_tasks, ShardState.LEASED, ShardState.DONE))
        .values(state=ShardState.DONE.value, result=result, done_at=now(), reason=None, failure_class=None)
    )
    if changed.rowcount:
        return True
    mine = sa.select(control_tasks.c.id).where(
        control_tasks.c.id == claim.task_id,
        control_tasks.c.fence == claim.fence,
        in_state(control_tasks, ShardState.DONE),
    )
    return connection.execute(mine).scalar() is not None


def _give_back(
    connection: sa.Connection,
    task: sa.Row[Any],
    error: str,
    failure_class: str | None,
    *,
    again: bool,
    delay_s: float,
) -> None:
    after = ShardState.PENDING if again else ShardState.FAILED
    connection.execute(
        sa.update(control_tasks)
        .where(control_tasks.c.id == task.id, shard_moves(control_tasks, ShardState.LEASED, after))
        .values(
            state=after.value,
            reason=error,
            failure_class=failure_class,
            not_before=now() + delay_s,
            published_at=None,
        )
    )
    if not again and task.job_id is not None and task.kind in (ControlKind.PLAN, ControlKind.RETRY):
        job = connection.execute(sa.select(jobs).where(jobs.c.id == task.job_id)).one()
        returns = task.kind == ControlKind.RETRY and job.state_before in TERMINAL
        after_job = JobState(job.state_before) if returns else JobState.FAILED
        what = "the retry could not be planned" if returns else "planning failed"
        if job.state == JobState.PLANNING:
            _end_planning(connection, task.job_id, after_job, f"{what}: {error}")


def _end_planning(connection: sa.Connection, job_id: str, after: JobState, error: str) -> None:
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, job_moves(JobState.PLANNING, after))
        .values(state=after.value, paused=False, error=error, finished_at=now(), state_before=None)
    )
    announce(connection, job_id, after)


def _insert_shards(
    connection: sa.Connection,
    job_id: str,
    generation: int,
    manifest_key: str,
    stretches: Iterable[tuple[int, int]],
) -> int:
    """Insert pending shards, in bulk; returns the images they cover. They must follow on each other."""
    covered = 0
    remaining = iter(stretches)
    while bulk := list(islice(remaining, _BULK)):
        rows = []
        for start, stop in bulk:
            if start != covered or stop <= start:
                raise ValueError(f"shard [{start}, {stop}) does not follow on {covered}")
            covered = stop
            rows.append(
                {
                    "id": shard_id(job_id, generation, start),
                    "job_id": job_id,
                    "manifest_key": manifest_key,
                    "generation": generation,
                    "start": start,
                    "stop": stop,
                    "state": ShardState.PENDING.value,
                }
            )
        connection.execute(sa.insert(shards), rows)
    return covered


def shard_id(job_id: str, generation: int, start: int) -> str:
    """Job, retry and first row: unique by construction, and readable in a log."""
    return f"{job_id}-r{generation}-{start}" if generation else f"{job_id}-{start}"


def _reopen(connection: sa.Connection, job_id: str, classes: Sequence[str]) -> int:
    """failed | cancelled → pending, every such shard of a job; where `classes` are named, of the failed ones those
    that failed by one of these. Returns how many.
    """
    opened = 0
    for before in (ShardState.FAILED, ShardState.CANCELLED):
        asked = shards.c.failure_class.in_(classes) if classes and before is ShardState.FAILED else sa.true()
        changed = connection.execute(
            sa.update(shards)
            .where(shards.c.job_id == job_id, shard_moves(shards, before, ShardState.PENDING), asked)
            .values(
                state=ShardState.PENDING.value,
                reason=None,
                failure_class=None,
                not_before=0.0,
                published_at=None,
                convicted=None,
                deaths=0,
                unexplained=0,
                releases=0,
            )
        )
        opened += changed.rowcount
    return opened
