"""Jobs, how far they are, their shards and parts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig
from gfi.domain.states import OPEN, TERMINAL, JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store.database import Database, now
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import BULK, fetch
from gfi.store.tables import audit, in_state, incidents, jobs, parts, shards

RATE_WINDOW_S = 300.0


@dataclass(frozen=True)
class Job:
    """A job's row."""

    id: str
    name: str
    owner: str
    queue: str
    priority: int
    state: JobState
    paused: bool
    stored_config: JSON = field(repr=False)
    config_digest: str
    listing_digest: str | None
    idempotency_key: str | None
    model: JSON | None = field(repr=False)
    profile: JSON | None
    device_kind: str | None
    manifest_key: str | None
    manifest_digest: str | None
    total: int | None
    facts: JSON | None
    error: str | None
    generation: int
    state_before: str | None
    created_at: float
    planned_at: float | None
    finished_at: float | None

    @property
    def ended(self) -> bool:
        """True in a terminal state."""
        return self.state in TERMINAL

    @property
    def started_at(self) -> float | None:
        """When its shards were there to be claimed; None before."""
        return self.planned_at

    @property
    def shown_state(self) -> str:
        """The state in a word for people: `paused` where that is what matters."""
        return "paused" if self.paused and not self.ended else self.state.value

    @cached_property
    def config(self) -> JobConfig:
        """The frozen configuration."""
        return JobConfig.from_json(self.stored_config)

    def to_json(self) -> JSON:
        """Every field, ready for JSON; the configuration as it is stored."""
        values = asdict(self)
        return values | {"config": values.pop("stored_config")}


@dataclass(frozen=True)
class Progress:
    """How far a job is. Counts are images with a recorded result."""

    state: JobState
    paused: bool
    total: int | None
    done: int
    by_status: Mapping[str, int]  # every ImageStatus, zeros included
    finished: int  # explained by a worker, not yet committed
    in_flight: int  # being fetched, decoded or optimised
    partial: float  # what the steps done on those are worth, in images
    shards: Mapping[str, int]  # by ShardState
    rate: float | None  # images per second over the last five minutes; None before the first step
    eta_s: float | None  # seconds still to go; None while nothing is known
    elapsed_s: float

    def to_json(self) -> JSON:
        """Every field, ready for JSON."""
        return asdict(self)


def get_job(db: Database, job_id: str) -> Job:
    """A job by id, or by the beginning of one that no other shares. NotFound otherwise."""
    begins = jobs.c.id.between(job_id, job_id + "~")
    with db.read() as connection:
        found = connection.execute(sa.select(jobs).where(begins).order_by(jobs.c.id).limit(2)).all()
    if not found or not job_id:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    if len(found) > 1 and found[0].id != job_id:
        raise NotFound(f"more than one job begins with {job_id}; `gfi jobs` lists them")
    return _job(found[0])


def list_jobs(
    db: Database,
    *,
    limit: int = 50,
    after: str | None = None,
    state: JobState | None = None,
    owner: str | None = None,
    search: str | None = None,
) -> list[Job]:
    """Jobs, newest first, without their model's record. `after`: the id of the last job of the page before."""
    # A record has a thousand class names: a page of 50 jobs took 104 ms with it, 53 without.
    columns = [column for column in jobs.columns if column is not jobs.c.model]
    query: sa.Select[Any] = (
        sa.select(*columns, sa.null().label("model")).order_by(jobs.c.id.desc()).limit(limit)
    )
    if after is not None:
        query = query.where(jobs.c.id < after)
    if state is not None:
        query = query.where(jobs.c.state == state.value)
    if owner is not None:
        query = query.where(jobs.c.owner == owner)
    if search:
        query = query.where(jobs.c.name.icontains(search, autoescape=True))
    with db.read() as connection:
        return [_job(row) for row in connection.execute(query)]


def jobs_over(db: Database, dataset: str, limit: int = 100) -> list[Job]:
    """The newest jobs over a dataset, named as their configurations do, without their model's record."""
    columns = [column for column in jobs.columns if column is not jobs.c.model]
    query: sa.Select[Any] = (
        sa.select(*columns, sa.null().label("model"))
        .where(jobs.c.config["dataset"]["spec"].as_string() == dataset)
        .order_by(jobs.c.id.desc())
        .limit(limit)
    )
    with db.read() as connection:
        return [_job(row) for row in connection.execute(query)]


def _job(row: sa.Row[Any]) -> Job:
    values = dict(row._mapping)
    stored = values.pop("config")
    return Job(**values | {"state": JobState(row.state), "stored_config": stored})


def job_progress(db: Database, job_id: str) -> Progress:
    """How far a job is, how fast and how long still, from its shards alone."""
    return jobs_progress(db, [get_job(db, job_id).id])[0]


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
    """The same for several jobs, in two queries, in the order asked for."""
    done = in_state(shards, ShardState.DONE)
    leased = in_state(shards, ShardState.LEASED)
    recent = sa.and_(done, shards.c.done_at > now() - RATE_WINDOW_S)
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
    return [_progress(rows[id_], by_job.get(id_), flying.get(id_, []), clock) for id_ in job_ids]


def _partial(job: sa.Row[Any], shard: Any) -> float:
    """How many images the optimiser's steps so far are worth, for a batch that is half-way."""
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
        # Since the first of these shards was claimed, at most the window: young jobs are not made slow.
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


def list_shards(
    db: Database, job_id: str, *, limit: int = 200, after: tuple[int, int] | None = None
) -> list[JSON]:
    """Shards of a job by (generation, start)."""
    query = sa.select(shards).where(shards.c.job_id == job_id)
    if after is not None:
        place = sa.tuple_(shards.c.generation, shards.c.start)
        query = query.where(place > sa.tuple_(*map(sa.literal, after)))
    return fetch(db, query.order_by(shards.c.generation, shards.c.start).limit(limit))


@dataclass(frozen=True)
class CommittedPart:
    """A part that a commit recorded: which rows of which manifest it holds."""

    id: str
    job_id: str
    shard_id: str
    fence: int
    key: str
    sha256: str
    bytes: int
    rows: int
    manifest_key: str
    start: int
    stop: int
    created_at: float


def iterate_parts(db: Database, job_id: str) -> Iterator[CommittedPart]:
    """Every part of a job in the order of commits, as `committed.json` lists them."""
    after = ""
    while True:
        page = sa.select(parts).where(parts.c.job_id == job_id, parts.c.id > after)
        with db.read() as connection:
            found = connection.execute(page.order_by(parts.c.id).limit(BULK)).all()
        if not found:
            return
        yield from (CommittedPart(**row._mapping) for row in found)
        after = found[-1].id


def part_of(db: Database, part_id: str) -> CommittedPart:
    """A part by id; NotFound when there is none."""
    found = fetch(db, sa.select(parts).where(parts.c.id == part_id))
    if not found:
        raise NotFound(f"no part {part_id}")
    return CommittedPart(**found[0])


Verdict = Literal["kept", "orphan", "held", "unknown"]


def judge_parts(db: Database, keys: Iterable[str]) -> dict[str, Verdict]:
    """What the sweep may do with objects below `parts/`, decided here and not by their age.

    `kept`: the ledger refers to it. `orphan`: its shard has ended, or has been claimed again since, so nobody
    can commit it any more; also when its job was deleted. `held`: its worker may still commit it. `unknown`:
    nothing here explains it; report it, never delete it.
    """
    verdicts: dict[str, Verdict] = {}
    wanted = list(keys)
    for begin in range(0, len(wanted), BULK):
        verdicts |= _judge(db, wanted[begin : begin + BULK])
    return verdicts


def _judge(db: Database, keys: Sequence[str]) -> dict[str, Verdict]:
    from gfi.store.parts import parse_part_key  # loads Arrow, which `gfi jobs` need not wait for

    parsed = {key: parse_part_key(key) for key in keys}
    shard_ids = sorted({p[1] for p in parsed.values() if p})
    job_ids = sorted({p[0] for p in parsed.values() if p})
    deleted = sa.select(audit.c.job_id).where(audit.c.action == "job.deleted", audit.c.job_id.in_(job_ids))
    with db.read() as connection:
        # Shards before parts: PostgreSQL shows each statement what is committed by then. A commit that ends a shard
        # between the two brings its part with it; the other way round the shard had ended and its part was not known.
        known = {
            row.id: row
            for row in connection.execute(
                sa.select(shards.c.id, shards.c.job_id, shards.c.state, shards.c.fence).where(
                    shards.c.id.in_(shard_ids)
                )
            )
        }
        kept = set(connection.execute(sa.select(parts.c.key).where(parts.c.key.in_(keys))).scalars())
        gone = set(connection.execute(deleted).scalars())
    verdicts: dict[str, Verdict] = {}
    for key, part in parsed.items():
        shard = known.get(part[1]) if part else None
        if key in kept:
            verdicts[key] = "kept"
        elif part is None or (shard is None and part[0] not in gone):
            verdicts[key] = "unknown"
        elif shard is None or shard.state not in OPEN or part[2] < shard.fence:
            verdicts[key] = "orphan"
        else:
            # A pending shard under the same fence was released or reaped: that fence commits nothing more.
            verdicts[key] = "held" if shard.state == ShardState.LEASED else "orphan"
    return verdicts


def list_incidents(db: Database, job_id: str, *, limit: int = 200) -> list[JSON]:
    """Deaths, releases and quarantines of a job, newest first."""
    query = sa.select(incidents).where(incidents.c.job_id == job_id)
    return fetch(db, query.order_by(incidents.c.id.desc()).limit(limit))
