"""Workers, as their last heartbeats describe them."""

from dataclasses import dataclass

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.store.database import Database, now
from gfi.store.queries.fetching import fetch
from gfi.store.tables import jobs, shards, workers

ALIVE_S = 60.0


@dataclass(frozen=True)
class Worker:
    """A worker as its last heartbeat described it, `silent_s` seconds ago."""

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
    job_id: str | None  # of that shard
    job_name: str | None
    clock_skew_s: float | None
    facts: JSON | None  # of its machine and device: see `machine_facts`
    started_at: float
    seen_at: float
    silent_s: float
    tasks: list[str]  # the kinds of tasks that it can do

    @property
    def name(self) -> str:
        """Its host and process: `host:pid`."""
        return self.id

    @property
    def alive(self) -> bool:
        """Whether its last heartbeat is less than a minute old."""
        return self.silent_s < ALIVE_S

    def takes_from(self, queue: str) -> bool:
        """Whether it takes work from this queue: it is alive, was not told to stop, and is on no quarantined device."""
        return self.alive and self.state == "up" and queue in (self.queues or ())


def list_workers(db: Database) -> list[Worker]:
    """Workers by name."""
    silent = (now() - workers.c.seen_at).label("silent_s")
    query = (
        sa.select(workers, silent, shards.c.job_id, jobs.c.name.label("job_name"))
        .outerjoin(shards, shards.c.id == workers.c.shard_id)
        .outerjoin(jobs, jobs.c.id == shards.c.job_id)
    )
    return [
        Worker(**row, tasks=(row["facts"] or {}).get("tasks", []))
        for row in fetch(db, query.order_by(workers.c.id))
    ]


def worker_takes(db: Database, queue: str, kind: str) -> bool:
    """Whether a live worker takes tasks of this kind from this queue."""
    return any(worker.takes_from(queue) and kind in worker.tasks for worker in list_workers(db))


def queue_has_worker(db: Database, queue: str, device_kind: str | None = None) -> bool:
    """Whether a live worker takes shards of this queue; on this kind of device, if one is given."""
    return any(
        worker.takes_from(queue) and device_kind in (None, worker.device) for worker in list_workers(db)
    )
