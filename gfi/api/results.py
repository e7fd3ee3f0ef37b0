"""Results of a job: in pages, as JSON lines, and as a summary."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import checked, documented
from gfi.api.result_rows import ResultOut
from gfi.api.schemas import Name, Page, decode_cursor, encode_cursor
from gfi.domain.manifest_columns import find_column
from gfi.domain.methods import CONTROLS
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import bin_width
from gfi.store import queries
from gfi.store.queries import Filters, Job
from gfi.store.result_query import Condition, ResultQuery, Sort, filters_of, rows_to_json

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
JSONL = "application/x-ndjson"
_LINES = {"schema": {"type": "string"}, "example": '{"row": 0, "key": "a.jpg"}\n'}
_LINES_A_QUERY = 1000


class ListQuery(ResultQuery):
    """The results that are asked for, and how many at a time."""

    after: Annotated[
        str | None,
        Field(max_length=512, description="The `next` of the page before; none for the first page."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Items of one page, at most.")] = 100
    output: Literal["json", "jsonl"] | None = Field(None, alias="format")


class GroupsOut(BaseModel):
    """The largest groups of a job, at most 1,000: each `{"value", "images", "counts", "means"}`. `more`: there are
    others."""

    by: str
    groups: list[dict[str, Any]]
    more: bool = False


@router.get(
    "/results",
    response_model=Page[ResultOut],
    responses=documented(404, 406, also={200: {"content": {JSONL: _LINES}}}),
)
def list_results(
    job_id: JobId,
    request: Request,
    context: ContextDep,
    caller: Reader,
    query: Annotated[ListQuery, Query()],
) -> Any:
    """Results by page; with `format=jsonl` (or `Accept: application/x-ndjson`) all of them, one on each line."""
    job = find_job(context, job_id)
    filters = checked(lambda: filters_of(context.database, job, query))
    sort, descending = query.sort, query.descending
    place = _place(query.after, sort) if query.after is not None else None
    accept = request.headers.get("accept", "")
    if query.output == "jsonl" or (query.output is None and ("ndjson" in accept or "jsonl" in accept)):
        lines = _lines(context, job, filters, sort.value, descending, place)
        return StreamingResponse(lines, media_type=JSONL)
    rows = queries.list_results(
        context.database,
        job.id,
        filters=filters,
        sort=sort.value,
        descending=descending,
        limit=query.limit,
        after=place,
    )
    more = encode_cursor(queries.page_key(rows[-1], sort.value)) if len(rows) == query.limit else None
    return Page(items=[ResultOut(**row) for row in rows_to_json(context.database, job, rows)], next=more)


@router.get("/groups", responses=documented(404))
def group_results(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    by: Annotated[
        Name,
        Query(
            min_length=1, description=f"A further column of the manifest, or {', '.join(queries.GROUPED)}."
        ),
    ],
    where: Annotated[list[Condition], Query(max_length=16)] = [],  # noqa: B006 - FastAPI copies it
    status: ImageStatus | None = None,
) -> GroupsOut:
    """Images by the values of a column, the 1,000 largest groups first: counts by status, and means over `ok` images.

    The columns of a job are in its `facts.columns`. An image without a value is in the group whose value is null.
    """
    job = find_job(context, job_id)
    kinds = queries.kinds_of(job.metadata)
    if by not in queries.GROUPED:
        by = checked(lambda: find_column(by, kinds))
    filters = checked(lambda: filters_of(context.database, job, ResultQuery(status=status, where=where)))
    groups, more = queries.group_results(context.database, job.id, by, kinds, filters)
    return GroupsOut(by=by, groups=[group.to_json() for group in groups], more=more)


def _place(after: str, sort: Sort) -> tuple[Any, ...]:
    """The position in the list that a cursor names: (row, method, rank), after the number by which the list is
    sorted."""
    place: tuple[tuple[type, ...], ...] = ((int,), (str,), (int,))
    return decode_cursor(after, *(place if sort == "row" else ((int, float, type(None)), *place)))


def _lines(
    context: Context, job: Job, filters: Filters, sort: str, descending: bool, place: tuple[Any, ...] | None
) -> Iterator[str]:
    while True:
        rows = queries.list_results(
            context.database,
            job.id,
            filters=filters,
            sort=sort,
            descending=descending,
            limit=_LINES_A_QUERY,
            after=place,
        )
        yield "".join(json.dumps(row) + "\n" for row in rows_to_json(context.database, job, rows))
        if len(rows) < _LINES_A_QUERY:
            return
        place = queries.page_key(rows[-1], sort)


@router.get("/summary", responses=documented(404))
def summarise(job_id: JobId, context: ContextDep, caller: Reader) -> dict[str, Any]:
    """Images by status, and the mean of each number with the number of images in it.

    A number that is defined for each class (pointing) has also `class_mean`, the mean of `classes` class means.
    `variance` is that of the same images. `histograms`: of each number the width of the bins, and the left edge and the
    images of each bin that is not empty. `controls`: the means of the same number for the controls (`random` and
    `centred` masks, the method on the network with `randomised` weights), on a sample of the job's images.
    """
    job = find_job(context, job_id)
    counts = queries.job_progress(context.database, job.id).by_status
    sums = queries.job_sums(context.database, job.id)
    means = sums.numbers()
    controls = {control: sums.numbers(control) for control in CONTROLS}
    return {
        "counts": {status: count for status, count in counts.items() if count},
        "means": {
            name: asdict(mean)
            | {
                "controls": {
                    control: known[name].mean for control, known in controls.items() if name in known
                }
            }
            for name, mean in means.items()
        },
        "histograms": {name: {"width": bin_width(name), "bins": sums.histogram(name)} for name in means},
    }


@router.get("/classes", responses=documented(404))
def class_table(
    job_id: JobId, context: ContextDep, caller: Reader, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> dict[str, Any]:
    """Images and means by label, target, prediction and status: the largest groups first, and how many there are."""
    job = find_job(context, job_id)
    rows = queries.job_sums(context.database, job.id, cells=True).class_table()
    return {
        "total": len(rows),
        "classes": [
            asdict(row) | {"means": {n: {"mean": m, "count": c} for n, (m, c) in row.means.items()}}
            for row in rows[:limit]
        ],
    }
