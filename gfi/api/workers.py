"""Workers and queues."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import documented
from gfi.store import queries

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class WorkerOut(BaseModel):
    """A worker as it was at its last heartbeat, `silent_s` seconds ago."""

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
    job_id: str | None = Field(description="The job of that shard.")
    job_name: str | None
    clock_skew_s: float | None
    facts: dict[str, Any] | None = Field(
        description="python, cpus, memory_mib; of an explaining worker also torch, device_name, device_memory_mib."
    )
    started_at: float
    seen_at: float
    silent_s: float
    alive: bool
    tasks: list[str] = Field(description="The kinds of tasks that it can do.")


@router.get("/workers", tags=["workers"], responses=documented())
def list_workers(context: ContextDep, caller: Reader) -> list[WorkerOut]:
    """Workers, ordered by id."""
    return [
        WorkerOut(**{name: getattr(worker, name) for name in WorkerOut.model_fields})
        for worker in queries.list_workers(context.database)
    ]


@router.get("/queues", tags=["workers"], responses=documented())
def list_queues(context: ContextDep, caller: Reader) -> dict[str, dict[str, int]]:
    """Pending, leased and delayed shards of each queue."""
    return queries.waiting(context.database)
