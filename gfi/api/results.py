"""Results of a job: in pages, as JSON lines, and as a summary."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, StringConstraints

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import After, JobId, Limit, find_job
from gfi.api.problems import Refused, documented
from gfi.api.result_rows import Method, ResultOut
from gfi.api.schemas import LARGEST, Name, Page, decode_cursor, encode_cursor
from gfi.domain.manifest_columns import Where, find_column, parse_where
from gfi.domain.methods import CONTROLS
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.domain.sums import bin_width
from gfi.store import queries
from gfi.store.queries import SORTABLE, Filters, Job

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
Sort = StrEnum("Sort", {name.upper(): name for name in SORTABLE})  # type: ignore[misc]
JSONL = "application/x-ndjson"
_LINES = {"schema": {"type": "string"}, "example": '{"row": 0, "key": "a.jpg"}\n'}
_LINES_A_QUERY = 1000
Conditions = Annotated[
    Sequence[Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00]*$")]],
    Query(
        max_length=16,
        description="Conditions on further columns of the manifest, all of which hold: `site=A`, `age>=40`, `site!=A`;"
        " `site=` finds images without a value.",
    ),
]


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
    status: ImageStatus | None = None,
    prediction: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    target: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    label: Annotated[Name | None, Query()] = None,
    error_class: Annotated[Name | None, Query()] = None,
    method: Method = PRIMARY_METHOD,
    target_rank: Annotated[
        int | None,
        Query(
            ge=0,
            le=LARGEST,
            description="For a job that explains several classes: only the class with this rank.",
        ),
    ] = None,
    metric: Annotated[
        Sort | None, Query(description="The number that `at_least` and `at_most` bound.")
    ] = None,
    at_least: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    at_most: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    search: Annotated[Name | None, Query(description="A part of the key.")] = None,
    flagged: bool = False,
    carried: Annotated[
        bool | None, Query(description="Whether the result was carried over from an earlier job.")
    ] = None,
    where: Conditions = (),
    sort: Sort = Sort("row"),
    descending: bool = False,
    after: After = None,
    limit: Limit = 100,
    output: Annotated[Literal["json", "jsonl"] | None, Query(alias="format")] = None,
) -> Any:
    """Results by page; with `format=jsonl` (or `Accept: application/x-ndjson`) all of them, one on each line."""
    job = find_job(context, job_id)
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
        carried=carried,
        where=_conditions(job, where),
    )
    place = _place(after, sort) if after is not None else None
    accept = request.headers.get("accept", "")
    if output == "jsonl" or (output is None and ("ndjson" in accept or "jsonl" in accept)):
        lines = _lines(context, job, filters, sort.value, descending, place)
        return StreamingResponse(lines, media_type=JSONL)
    rows = queries.list_results(
        context.database,
        job.id,
        filters=filters,
        sort=sort.value,
        descending=descending,
        limit=limit,
        after=place,
    )
    names = job.class_names
    more = encode_cursor(queries.page_key(rows[-1], sort.value)) if len(rows) == limit else None
    return Page(items=[ResultOut(**row.to_json(names)) for row in rows], next=more)


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
    where: Conditions = (),
    status: ImageStatus | None = None,
) -> GroupsOut:
    """Images by the values of a column, the 1,000 largest groups first: counts by status, and means over `ok` images.

    The columns of a job are in its `facts.columns`. An image without a value is in the group whose value is null.
    """
    job = find_job(context, job_id)
    kinds = queries.kinds_of(job.metadata)
    if by not in queries.GROUPED:
        by = _checked(lambda: find_column(by, kinds))
    filters = Filters(status=status, where=_conditions(job, where))
    groups, more = queries.group_results(context.database, job.id, by, kinds, filters)
    return GroupsOut(by=by, groups=[group.to_json() for group in groups], more=more)


Read = TypeVar("Read")


def _checked(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except ValueError as error:
        raise Refused(422, str(error)) from None


def _conditions(job: Job, texts: Sequence[str]) -> tuple[Where, ...]:
    kinds = queries.kinds_of(job.metadata)
    return _checked(lambda: tuple(parse_where(text, kinds) for text in texts))


def _place(after: str, sort: Sort) -> tuple[Any, ...]:
    """The position in the list that a cursor names: (row, method, rank), after the number by which the list is
    sorted."""
    place: tuple[tuple[type, ...], ...] = ((int,), (str,), (int,))
    return decode_cursor(after, *(place if sort == "row" else ((int, float, type(None)), *place)))


def _lines(
    context: Context, job: Job, filters: Filters, sort: str, descending: bool, place: tuple[Any, ...] | None
) -> Iterator[str]:
    names = job.class_names
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
        yield "".join(json.dumps(row.to_json(names)) + "\n" for row in rows)
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
