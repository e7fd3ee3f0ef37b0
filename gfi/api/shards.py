"""The shards of a job, its failures and its incidents."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import After, JobId, Limit, find_job
from gfi.api.problems import documented
from gfi.api.schemas import Page, decode_cursor, encode_cursor
from gfi.domain.states import ShardState
from gfi.domain.statuses import ImageStatus
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


class ShardOut(BaseModel):
    """The rows [start, stop) of a job's manifest, which one worker leases at a time."""

    id: str
    generation: int
    start: int
    stop: int
    state: ShardState
    fence: int
    worker: str | None
    leased_at: float | None
    lease_until: float | None
    step: int | None
    finished: int
    reason: str | None
    failure_class: str | None
    done_at: float | None
    images: dict[str, int]


class FailureOut(BaseModel):
    """Images that have no usable result, by class."""

    status: str
    error_class: str | None
    images: int
    example_row: int | None
    example: str | None


@router.get("/{job_id}/shards", responses=documented(404))
def list_shards(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    after: After = None,
    limit: Limit = 200,
) -> Page[ShardOut]:
    """The shards of a job, in the order of its manifest."""
    job = find_job(context, job_id)
    place = decode_cursor(after, (int,), (int,)) if after is not None else None
    rows = queries.list_shards(context.database, job.id, limit=limit, after=place)
    items = [
        ShardOut(**{k: row[k] for k in ShardOut.model_fields if k != "images"}, images=_counts(row))
        for row in rows
    ]
    more = encode_cursor([rows[-1]["generation"], rows[-1]["start"]]) if len(rows) == limit else None
    return Page(items=items, next=more)


def _counts(row: dict[str, Any]) -> dict[str, int]:
    return {status.value: row[f"n_{status}"] for status in ImageStatus if row[f"n_{status}"]}


@router.get("/{job_id}/failures", responses=documented(404))
def list_failures(job_id: JobId, context: ContextDep, caller: Reader) -> list[FailureOut]:
    """Failures by class, most frequent first."""
    job = find_job(context, job_id)
    return [FailureOut(**row) for row in queries.failures(context.database, job.id)]


@router.get("/{job_id}/incidents", responses=documented(404))
def list_incidents(
    job_id: JobId, context: ContextDep, caller: Reader, limit: Limit = 200
) -> list[dict[str, Any]]:
    """Deaths of workers, released shards and quarantined images, newest first."""
    job = find_job(context, job_id)
    return queries.list_incidents(context.database, job.id, limit=limit)
