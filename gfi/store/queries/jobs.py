"""Jobs: their rows, and lists of them."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig
from gfi.domain.queues import DEVICE_QUEUES
from gfi.domain.states import TERMINAL, ControlKind, JobState
from gfi.domain.tasks import ROUTED
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.queries.fetching import named
from gfi.store.tables import control_tasks, in_state, jobs


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
    metadata: JSON | None  # what planning found out about the dataset, and warnings
    error: str | None
    notify: list[dict[str, str]] | None = field(repr=False)
    tags: list[str] | None
    since: JSON | None
    carried: int | None
    removed: int | None
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
    def explained(self) -> int | None:
        """Images that this job explains itself; None until planned, and without `since`."""
        return None if self.carried is None or self.total is None else self.total - self.carried

    @property
    def started_at(self) -> float | None:
        """When its shards became claimable; None before."""
        return self.planned_at

    @property
    def shown_state(self) -> str:
        """The state as a word for people: `paused` where a job that has not ended is paused."""
        return "paused" if self.paused and not self.ended else self.state.value

    @cached_property
    def config(self) -> JobConfig:
        """The frozen configuration."""
        return JobConfig.from_json(self.stored_config)

    @property
    def class_names(self) -> list[str]:
        """Names of the model's classes, by index; empty if the model has none, and in lists of jobs."""
        names: list[str] = (self.model or {}).get("class_names") or []
        return names

    @property
    def sigmoid(self) -> bool:
        """Whether the network decides about each class for itself, so that it finds a label or does not."""
        return (self.model or {}).get("output") == "sigmoid"

    def to_json(self) -> JSON:
        """The columns of the job, ready for JSON."""
        values = asdict(self)
        return values | {"config": values.pop("stored_config"), "facts": values.pop("metadata")}


def get_job(db: Database, job_id: str) -> Job:
    """A job by its id, or by the beginning of an id that no other job shares. Raises NotFound otherwise."""
    with db.read() as connection:
        rows = named(connection, sa.select(jobs), jobs.c.id, job_id)
    if not rows:
        raise NotFound(f"no job {job_id}; `gfi jobs` lists them")
    if len(rows) > 1:
        raise NotFound(f"more than one job begins with {job_id}; `gfi jobs` lists them")
    return _job(rows[0])


def address_on(db: Database, job_id: str, channel: str) -> str | None:
    """The address on a channel that is notified of the end of a job; None when there is none, or no such job."""
    with db.read() as connection:
        notify = connection.execute(sa.select(jobs.c.notify).where(jobs.c.id == job_id)).scalar() or []
    return next((str(target["address"]) for target in notify if target["channel"] == channel), None)


def list_jobs(
    db: Database,
    *,
    limit: int = 50,
    after: str | None = None,
    state: JobState | None = None,
    owner: str | None = None,
    tag: str | None = None,
    search: str | None = None,
) -> list[Job]:
    """Jobs, newest first, without the record of their model.

    `after`: the id of the last job of the page before. `search`: a part of the name, or a tag.
    """
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
    with db.read() as connection:
        postgres = connection.dialect.name == "postgresql"
        if tag is not None:
            query = query.where(_tagged(tag, postgres))
        if search:
            named = jobs.c.name.icontains(search, autoescape=True)
            query = query.where(named | _tagged(search, postgres))
        return [_job(row) for row in connection.execute(query)]


def _tagged(tag: str, postgres: bool) -> sa.ColumnElement[bool]:
    """Whether a job has a tag. A job without tags has none stored."""
    elements = (sa.func.jsonb_array_elements_text if postgres else sa.func.json_each)(jobs.c.tags)
    words = elements.table_valued("value").alias("words")
    return sa.exists(sa.select(sa.true()).select_from(words).where(words.c.value == tag))


def jobs_over(db: Database, dataset: str, limit: int = 100) -> list[Job]:
    """The newest jobs over a dataset, without the record of their model. `dataset`: as their configurations name it."""
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
    stored, metadata = values.pop("config"), values.pop("facts")
    return Job(**values | {"state": JobState(row.state), "stored_config": stored, "metadata": metadata})


def moved_jobs(db: Database) -> list[str]:
    """Running jobs that were moved to the queue of a device by the memory they need, and that no worker has begun."""
    query = (
        sa.select(jobs.c.id, control_tasks.c.payload)
        .join(control_tasks, control_tasks.c.job_id == jobs.c.id)
        .where(
            control_tasks.c.kind == ControlKind.PLAN.value,
            in_state(jobs, JobState.RUNNING),
            jobs.c.profile.is_(None),
            jobs.c.queue.in_(DEVICE_QUEUES),
        )
    )
    with db.read() as connection:
        found = connection.execute(query.order_by(jobs.c.id)).all()
    return list(dict.fromkeys(row.id for row in found if row.payload.get(ROUTED)))
