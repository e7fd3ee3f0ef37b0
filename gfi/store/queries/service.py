"""What stands beside the jobs: workers, queues, models, rates, schedules, tokens, the audit."""

from dataclasses import dataclass

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.states import ACTIVE, OPEN, ShardState
from gfi.store.database import Database, now
from gfi.store.queries.fetching import fetch
from gfi.store.tables import (
    audit,
    control_tasks,
    firings,
    in_state,
    jobs,
    models,
    rates,
    schedules,
    shards,
    tokens,
    workers,
)

ALIVE_S = 60.0


@dataclass(frozen=True)
class Worker:
    """A worker as its last heartbeat showed it, `silent_s` seconds ago."""

    id: str
    host: str | None
    pid: int | None
    device: str | None
    queues: list[str] | None
    version: str | None
    state: str | None
    rate: float | None
    memory_mib: float | None
    shard_id: str | None
    job_id: str | None  # whose shard that is
    job_name: str | None
    clock_skew_s: float | None
    facts: JSON | None
    started_at: float
    seen_at: float
    silent_s: float

    @property
    def name(self) -> str:
        """What it calls itself: host and process."""
        return self.id

    @property
    def alive(self) -> bool:
        """Heard of within the last minute."""
        return self.silent_s < ALIVE_S


def list_workers(db: Database) -> list[Worker]:
    """Workers by name."""
    silent = (now() - workers.c.seen_at).label("silent_s")
    query = (
        sa.select(workers, silent, shards.c.job_id, jobs.c.name.label("job_name"))
        .outerjoin(shards, shards.c.id == workers.c.shard_id)
        .outerjoin(jobs, jobs.c.id == shards.c.job_id)
    )
    return [Worker(**row) for row in fetch(db, query.order_by(workers.c.id))]


def waiting(db: Database) -> dict[str, JSON]:
    """Back-pressure, by queue: {pending, leased, delayed} shards of jobs under way, and control tasks."""
    delayed = shards.c.not_before > now()
    by_queue = (
        sa.select(
            jobs.c.queue,
            sa.func.sum(sa.case((in_state(shards, ShardState.PENDING), 1), else_=0)).label("pending"),
            sa.func.sum(sa.case((in_state(shards, ShardState.LEASED), 1), else_=0)).label("leased"),
            sa.func.sum(sa.case((sa.and_(in_state(shards, ShardState.PENDING), delayed), 1), else_=0)).label(
                "delayed"
            ),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(jobs.c.state.in_(sorted(ACTIVE)), shards.c.state.in_(sorted(OPEN)))
        .group_by(jobs.c.queue)
    )
    control = (
        sa.select(control_tasks.c.state, sa.func.count())
        .where(control_tasks.c.state.in_(sorted(OPEN)))
        .group_by(control_tasks.c.state)
    )
    with db.read() as connection:
        queues = {
            row.queue: {"pending": int(row.pending), "leased": int(row.leased), "delayed": int(row.delayed)}
            for row in connection.execute(by_queue)
        }
        counts = {row[0]: int(row[1]) for row in connection.execute(control)}
    queues["control"] = {
        "pending": counts.get(ShardState.PENDING.value, 0),
        "leased": counts.get(ShardState.LEASED.value, 0),
        "delayed": 0,
    }
    return queues


def control_of(db: Database, job_id: str) -> list[JSON]:
    """Control tasks of a job, oldest first."""
    query = sa.select(control_tasks).where(control_tasks.c.job_id == job_id)
    return fetch(db, query.order_by(control_tasks.c.id))


@dataclass(frozen=True)
class Model:
    """A registered model: all that may be known of it without loading torch."""

    reference: str
    digest: str
    record: JSON
    created_at: float
    updated_at: float


def find_model(db: Database, reference: str) -> Model | None:
    """A registered model; None when there is none of this name."""
    found = fetch(db, sa.select(models).where(models.c.reference == reference))
    return Model(**found[0]) if found else None


def list_models(db: Database) -> list[Model]:
    """Registered models by reference."""
    return [Model(**row) for row in fetch(db, sa.select(models).order_by(models.c.reference))]


def measured_rate(db: Database, digest: str, device_kind: str | None = None) -> float | None:
    """Images per second last measured for this kind of work; the slowest device's when none is named."""
    query = sa.select(sa.func.min(rates.c.images_per_s)).where(rates.c.digest == digest)
    if device_kind is not None:
        query = query.where(rates.c.device_kind == device_kind)
    with db.read() as connection:
        return connection.execute(query).scalar()


def list_schedules(db: Database) -> list[JSON]:
    """Schedules by name."""
    return fetch(db, sa.select(schedules).order_by(schedules.c.name))


def was_fired(db: Database, schedule_id: str, firing_key: str) -> bool:
    """Whether this instant of a schedule was had already: spares the ledger a transaction every tick."""
    query = sa.select(firings.c.at).where(
        firings.c.schedule_id == schedule_id, firings.c.firing_key == firing_key
    )
    with db.read() as connection:
        return connection.execute(query).scalar() is not None


def list_tokens(db: Database) -> list[JSON]:
    """Tokens, newest first, without what identifies them."""
    shown = [column for column in tokens.columns if column.name != "sha256"]
    return fetch(db, sa.select(*shown).order_by(tokens.c.id.desc()))


def list_audit(
    db: Database, *, job_id: str | None = None, after: str | None = None, limit: int = 100
) -> list[JSON]:
    """The audit, newest first. `after`: the id of the last entry of the page before."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if job_id is not None:
        query = query.where(audit.c.job_id == job_id)
    if after is not None:
        query = query.where(audit.c.id < after)
    return fetch(db, query)
