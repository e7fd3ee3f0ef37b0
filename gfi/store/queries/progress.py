"""The progress of jobs, their speed and their remaining time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import OPEN, JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store.database import Database, now
from gfi.store.errors import NotFound
from gfi.store.queries.jobs import Job, get_job
from gfi.store.tables import in_state, jobs, shards

RATE_WINDOW_S = 300.0


@dataclass(frozen=True)
class Progress:
    """The progress of a job. Counts are images with a recorded result."""

    state: JobState
    paused: bool
    total: int | None
    done: int
    by_status: Mapping[str, int]  # every ImageStatus, zeros included
    finished: int  # explained by a worker, not yet committed
    in_flight: int  # being fetched, decoded or optimised
    partial: float  # the optimiser steps done on those, converted into images
    shards: Mapping[str, int]  # by ShardState
    rate: float | None  # images per second over the last five minutes; None before the first step
    eta_s: float | None  # seconds that remain; None before the first step
    elapsed_s: float

    def to_json(self) -> JSON:
        """Every field, ready for JSON."""
        return asdict(self)


def job_progress(db: Database, job_id: str) -> Progress:
    """The progress, speed and remaining time of a job, computed from its shards only."""
    job = get_job(db, job_id)
    for _, progress in with_progress(db, [job]):
        return progress
    raise NotFound(f"job {job.id} was deleted")


def with_progress(db: Database, listed: Sequence[Job]) -> list[tuple[Job, Progress]]:
    """These jobs with their progress, without those that were deleted since they were listed."""
    known = _known(db, [job.id for job in listed]) if listed else {}
    return [(job, known[job.id]) for job in listed if job.id in known]


_FOR_PROGRESS: tuple[sa.Column[Any], ...] = (
    jobs.c.id,
    jobs.c.config,
    jobs.c.profile,
    jobs.c.state,
    jobs.c.paused,
    jobs.c.total,
    jobs.c.created_at,
    jobs.c.finished_at,
)


def jobs_progress(db: Database, job_ids: Sequence[str]) -> list[Progress]:
    """The progress of several jobs, in the order of `job_ids`. Raises KeyError if there is no such job."""
    known = _known(db, job_ids)
    return [known[job_id] for job_id in job_ids]


def _known(db: Database, job_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of those of these jobs that there are, in a fixed number of queries."""
    done = in_state(shards, ShardState.DONE)
    leased = in_state(shards, ShardState.LEASED)
    # Results that were carried over say nothing about the speed; their shards were never leased.
    recent = sa.and_(done, shards.c.done_at > now() - RATE_WINDOW_S, shards.c.leased_at.is_not(None))
    images = shards.c.stop - shards.c.start
    zero = sa.literal(0)

    def total(condition: sa.ColumnElement[bool], value: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, value), else_=zero)), 0)

    sums = (
        sa.select(
            shards.c.job_id,
            *(sa.func.sum(shards.c[f"n_{status}"]).label(f"n_{status}") for status in ImageStatus),
            *(
                total(shards.c.state == state.value, sa.literal(1)).label(f"s_{state}")
                for state in ShardState
            ),
            total(leased, shards.c.finished).label("finished"),
            total(recent, images).label("recent"),
            sa.func.min(sa.case((sa.or_(recent, leased), shards.c.leased_at))).label("since"),
            total(shards.c.state.in_(sorted(OPEN)), images).label("open"),
        )
        .where(shards.c.job_id.in_(list(job_ids)))
        .group_by(shards.c.job_id)
    )
    held = sa.select(shards.c.job_id, shards.c.in_flight, shards.c.step).where(
        shards.c.job_id.in_(list(job_ids)), leased, shards.c.in_flight.is_not(None)
    )
    with db.read() as connection:
        rows = {
            row.id: row
            for row in connection.execute(sa.select(*_FOR_PROGRESS).where(jobs.c.id.in_(list(job_ids))))
        }
        by_job = {row.job_id: row for row in connection.execute(sums)}
        flying: dict[str, list[Any]] = {}
        for row in connection.execute(held):
            flying.setdefault(row.job_id, []).append(row)
        clock = connection.execute(sa.select(now())).scalar_one()
    return {id_: _progress(row, by_job.get(id_), flying.get(id_, []), clock) for id_, row in rows.items()}


def _partial(job: sa.Row[Any], shard: Any) -> float:
    """The steps that the optimiser has done on a shard's batch, converted into images."""
    recipe = job.config.get("recipe") or {}
    steps = recipe.get("steps_inversion", 0) + recipe.get("steps_class", 0)
    batch = (job.profile or {}).get("batch") or len(shard.in_flight)
    images = min(batch / job.config.get("top", 1), len(shard.in_flight))
    return images * ((shard.step or 0) % steps) / steps if steps else 0.0


def _progress(job: sa.Row[Any], sums: Any, flying: Sequence[Any], clock: float) -> Progress:
    counts = {s.value: int(sums._mapping[f"n_{s}"] or 0) if sums else 0 for s in ImageStatus}
    by_state = {s.value: int(sums._mapping[f"s_{s}"] or 0) if sums else 0 for s in ShardState}
    rate = remaining = None
    partial = sum(_partial(job, shard) for shard in flying)
    worked = (int(sums.recent) + int(sums.finished) + partial) if sums else 0.0
    if sums is not None and worked and sums.since is not None:
        # The time since the first of these shards was claimed, at most the window: otherwise a job that has just
        # begun would seem slow.
        since = max(sums.since, clock - RATE_WINDOW_S)
        rate = worked / max(clock - since, 0.1)
        if job.state == JobState.RUNNING and not job.paused:
            remaining = max(0.0, int(sums.open) - int(sums.finished) - partial) / rate
    return Progress(
        state=JobState(job.state),
        paused=job.paused,
        total=job.total,
        done=sum(counts.values()),
        by_status=counts,
        finished=int(sums.finished) if sums else 0,
        in_flight=sum(len(shard.in_flight) for shard in flying),
        partial=partial,
        shards=by_state,
        rate=rate,
        eta_s=remaining,
        elapsed_s=max(0.0, (job.finished_at or clock) - job.created_at),
    )
