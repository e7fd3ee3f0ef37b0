"""Bootstrap intervals of a job's numbers by any column."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, documented
from gfi.api.schemas import Name
from gfi.exports.errors import ExportError
from gfi.exports.export import ExportOptions
from gfi.jobs.exports import open_export
from gfi.jobs.intervals import intervals_by
from gfi.jobs.submit import Invalid
from gfi.store import queries
from gfi.store.errors import LimitExceeded

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)


class IntervalsOut(BaseModel):
    """The largest groups of a job, at most a hundred: each `{"value", "images", "explained", "left_out", "numbers"}`;
    `numbers` by column `{"mean", "low", "high", "images", "missing"}`. `more`: there are others."""

    by: str
    groups: list[dict[str, Any]]
    more: bool


@router.get("/intervals", responses=documented(404, 413))
def get_intervals(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    by: Annotated[
        Name,
        Query(
            min_length=1, description=f"A further column of the manifest, or {', '.join(queries.GROUPED)}."
        ),
    ],
    view: Annotated[
        str, Query(max_length=4000, pattern=r"^[^\x00]*$", description="Which results, as for an export.")
    ] = "",
    seed: Annotated[int, Query(ge=0, le=2**31 - 1, description="Of the draws.")] = 0,
) -> IntervalsOut:
    """Means with bootstrap intervals of 95 % over images, by a column, and what was left out of them and why."""
    job = find_job(context, job_id)
    try:
        export = open_export(
            context.database, context.settings, context.bucket, job.id, ExportOptions("jsonl", view)
        )
        groups, more = intervals_by(context.database, job, by, export.filters, seed)
    except (Invalid, ExportError) as error:
        raise Refused(422, str(error)) from None
    except LimitExceeded as error:
        raise Refused(413, str(error)) from None
    return IntervalsOut(by=by, groups=[group.to_json() for group in groups], more=more)
