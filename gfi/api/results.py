"""Results of a job: by page, as lines, summed up."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.problems import documented
from gfi.api.requests import (
    JobId,
    Limit,
    the_job,
)
from gfi.api.result_rows import Method, class_names, picked, shown
from gfi.api.schemas import (
    LARGEST,
    Name,
    Page,
    ResultOut,
    Sort,
    decode_cursor,
    encode_cursor,
)
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.store import queries
from gfi.store.queries import Filters, Job

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
JSONL = "application/x-ndjson"
_LINES = {"schema": {"type": "string"}, "example": '{"row": 0, "key": "a.jpg"}\n'}


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
    status: ImageStatus | None = None,
    prediction: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    target: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    label: Annotated[Name | None, Query()] = None,
    error_class: Annotated[Name | None, Query()] = None,
    method: Method = PRIMARY_METHOD,
    target_rank: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="Of a job with `top` classes an image, this one.")
    ] = None,
    metric: Annotated[Sort | None, Query(description="With `at_least`, `at_most`: a range.")] = None,
    at_least: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    at_most: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    search: Annotated[Name | None, Query(description="A piece of the key.")] = None,
    flagged: bool = False,
    sort: Sort = Sort("row"),
    descending: bool = False,
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Limit = 100,
    format: Literal["json", "jsonl"] | None = None,
) -> Any:
    """Results by page, or with `format=jsonl` (or `Accept: application/x-ndjson`) all of them, a line each."""
    job = the_job(context, job_id)
    filters = Filters(
        status=status,
        prediction=prediction,
        target=target,
        label=label,
        method=method,
        target_rank=target_rank,
        error_class=error_class,
        metric=metric.value if metric is not None else None,
        at_least=at_least,
        at_most=at_most,
        search=search,
        flagged=flagged,
    )
    place = None
    if after is not None:
        tail: tuple[tuple[type, ...], ...] = ((int,), (str,), (int,))
        place = decode_cursor(after, *(tail if sort == "row" else ((int, float, type(None)), *tail)))
    accept = request.headers.get("accept", "")
    if format == "jsonl" or (format is None and ("ndjson" in accept or "jsonl" in accept)):
        return StreamingResponse(
            _lines(context, job, filters, sort.value, descending, place), media_type=JSONL
        )
    found = queries.list_results(
        context.database, job.id, filters=filters, sort=sort.value, descending=descending, limit=limit, after=place
    )  # fmt: skip
    names = class_names(job)
    items = [ResultOut(**picked(shown(row, names))) for row in found]
    more = encode_cursor(queries.page_key(found[-1], sort.value)) if len(found) == limit else None
    return Page(items=items, next=more)


def _lines(
    context: Context, job: Job, filters: Filters, sort: str, descending: bool, place: tuple[Any, ...] | None
) -> Iterator[str]:
    names = class_names(job)
    while True:
        found = queries.list_results(
            context.database,
            job.id,
            filters=filters,
            sort=sort,
            descending=descending,
            limit=1000,
            after=place,
        )
        yield "".join(json.dumps(picked(shown(row, names))) + "\n" for row in found)
        if len(found) < 1000:
            return
        place = queries.page_key(found[-1], sort)


@router.get("/summary", responses=documented(404))
def summarise(job_id: JobId, context: ContextDep, caller: Reader) -> dict[str, Any]:
    """Counts by status, and means over explained images with how many each rests on."""
    job = the_job(context, job_id)
    counts = queries.job_progress(context.database, job.id).by_status
    means = queries.means(context.database, job.id)
    return {
        "counts": {status: count for status, count in counts.items() if count},
        "means": {name: {"mean": mean, "count": count} for name, (mean, count) in means.items()},
    }
