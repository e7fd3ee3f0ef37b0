"""The shards of a job, its failures and its incidents."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import documented
from gfi.api.requests import (
    JobId,
    Limit,
    the_job,
)
from gfi.api.schemas import (
    FailureOut,
    Page,
    ShardOut,
    decode_cursor,
    encode_cursor,
)
from gfi.domain.statuses import ImageStatus
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.get("/{job_id}/shards", responses=documented(404))
def list_shards(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Limit = 200,
) -> Page[ShardOut]:
    """The stretches of the listing that workers lease, in order."""
    job = the_job(context, job_id)
    place = decode_cursor(after, (int,), (int,)) if after is not None else None
    found = queries.list_shards(context.database, job.id, limit=limit, after=place)
    items = [
        ShardOut(**{k: row[k] for k in ShardOut.model_fields if k != "images"}, images=_counts(row))
        for row in found
    ]
    more = encode_cursor([found[-1]["generation"], found[-1]["start"]]) if len(found) == limit else None
    return Page(items=items, next=more)


def _counts(row: dict[str, Any]) -> dict[str, int]:
    return {status.value: row[f"n_{status}"] for status in ImageStatus if row[f"n_{status}"]}


@router.get("/{job_id}/failures", responses=documented(404))
def list_failures(job_id: JobId, context: ContextDep, caller: Reader) -> list[FailureOut]:
    """What went wrong, by class, most frequent first."""
    job = the_job(context, job_id)
    return [FailureOut(**row) for row in queries.failures(context.database, job.id)]


@router.get("/{job_id}/incidents", responses=documented(404))
def list_incidents(
    job_id: JobId, context: ContextDep, caller: Reader, limit: Limit = 200
) -> list[dict[str, Any]]:
    """Deaths of workers, shards given back and convictions, newest first."""
    job = the_job(context, job_id)
    return queries.list_incidents(context.database, job.id, limit=limit)
