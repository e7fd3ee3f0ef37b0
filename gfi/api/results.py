"""Results of a job and the pictures of one explanation."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from gfi.api import drawing
from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, Here
from gfi.api.jobs import JobId, Limit, the_job
from gfi.api.problems import Refused, documented
from gfi.api.schemas import (
    LARGEST,
    ColourMap,
    ExplanationOut,
    FlagIn,
    FlagOut,
    Name,
    Page,
    ResultOut,
    Sort,
    decode_cursor,
    encode_cursor,
)
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.digests import JSON
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.report.overlays import Picture, jpeg
from gfi.store import ledger, queries
from gfi.store.parts import Part, PartRow
from gfi.store.queries import Filters, Job

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
JSONL = "application/x-ndjson"
Row = Annotated[int, Path(ge=0, le=LARGEST, description="The image's row in the job's manifest.")]
Method = Annotated[Name, Query(min_length=1)]
Rank = Annotated[int, Query(ge=0, le=1000)]
Size = Annotated[int, Query(ge=16, le=4096, description="Pixels of the longer side, at most.")]
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
_LINES = {"schema": {"type": "string"}, "example": '{"row": 0, "key": "a.jpg"}\n'}


def _names(job: Job) -> list[str]:
    return (job.model or {}).get("class_names") or []


def _shown(row: JSON, names: list[str]) -> dict[str, Any]:
    """A result row as the API shows it."""

    def name(index: int | None) -> str | None:
        return names[index] if index is not None and 0 <= index < len(names) else None

    return row | {
        "target_name": name(row["target"]),
        "prediction_name": name(row["prediction"]),
        "has_mask": row["part_id"] is not None and row["status"] not in ("error", "changed"),
        "picture": f"{row['part_id'] or 'none'}-{row['part_row'] or 0}",
    }


@router.get(
    "/results",
    response_model=Page[ResultOut],
    responses=documented(404, 406, also={200: {"content": {JSONL: _LINES}}}),
)
def list_results(
    job_id: JobId,
    request: Request,
    here: Here,
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
    job = the_job(here, job_id)
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
        return StreamingResponse(_lines(here, job, filters, sort.value, descending, place), media_type=JSONL)
    found = queries.list_results(
        here.database, job.id, filters=filters, sort=sort.value, descending=descending, limit=limit, after=place
    )  # fmt: skip
    names = _names(job)
    items = [ResultOut(**_picked(_shown(row, names))) for row in found]
    more = encode_cursor(queries.page_key(found[-1], sort.value)) if len(found) == limit else None
    return Page(items=items, next=more)


def _picked(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ResultOut.model_fields}


def _lines(
    here: Context, job: Job, filters: Filters, sort: str, descending: bool, place: tuple[Any, ...] | None
) -> Iterator[str]:
    names = _names(job)
    while True:
        found = queries.list_results(
            here.database, job.id, filters=filters, sort=sort, descending=descending, limit=1000, after=place
        )
        yield "".join(json.dumps(_picked(_shown(row, names))) + "\n" for row in found)
        if len(found) < 1000:
            return
        place = queries.page_key(found[-1], sort)


@router.get("/summary", responses=documented(404))
def summarise(job_id: JobId, here: Here, caller: Reader) -> dict[str, Any]:
    """Counts by status, and means over explained images with how many each rests on."""
    job = the_job(here, job_id)
    counts = queries.job_progress(here.database, job.id).by_status
    means = queries.means(here.database, job.id)
    return {
        "counts": {status: count for status, count in counts.items() if count},
        "means": {name: {"mean": mean, "count": count} for name, (mean, count) in means.items()},
    }


@router.get("/flags", responses=documented(404, also=_CSV))
def list_flags(
    job_id: JobId, here: Here, caller: Reader, format: Literal["json", "csv"] = "json"
) -> list[FlagOut]:
    """Flagged images with their notes; `format=csv` to take away."""
    job = the_job(here, job_id)
    found = queries.list_flags(here.database, job.id)
    if format == "csv":
        return _csv(job.id, found)  # type: ignore[return-value]
    return [FlagOut(**row) for row in found]


def _csv(job_id: str, found: list[JSON]) -> Response:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["row", "key", "flag", "note", "owner", "at"])
    for row in found:
        writer.writerow([_cell(row[name]) for name in ("row", "key", "flag", "note", "owner", "at")])
    headers = {"Content-Disposition": f'attachment; filename="flags-{job_id}.csv"'}
    return Response(out.getvalue(), media_type="text/csv", headers=headers)


def _cell(value: Any) -> Any:
    """A spreadsheet would run a text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


@router.get("/results/{row}", responses=documented(404))
def get_explanation(
    job_id: JobId,
    row: Row,
    here: Here,
    caller: Reader,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> ExplanationOut:
    """One explanation with its geometry, what made it, and what it replaced."""
    job = the_job(here, job_id)
    found = queries.get_result(here.database, job.id, row, method=method, target_rank=target_rank)
    part, stored = _stored(here, found)
    header = part.header.to_json() if part else None
    earlier = [
        {k: v for k, v in each.items() if v is not None}
        for each in queries.earlier_results(
            here.database, job.id, row, method=method, target_rank=target_rank
        )
    ]
    return ExplanationOut(
        **_picked(_shown(found, _names(job))),
        original_size=_list(stored.original_size if stored else None),
        box=_list(stored.box if stored else None),
        grid_size=_list(stored.grid.shape if stored and stored.grid is not None else None),
        input_size=_list(part.header.input_size if part else None),
        shard_id=found["shard_id"],
        fence=found["fence"],
        part_key=found["part_key"],
        part_sha256=found["part_sha256"],
        made_by=header,
        earlier=earlier,
    )


def _list(values: Any) -> list[Any] | None:
    return None if values is None else list(values)


def _stored(here: Context, found: JSON) -> tuple[Part | None, PartRow | None]:
    if found["part_id"] is None or found["part_row"] is None:
        return None, None
    part = here.part_cache.part(found["part_id"])
    return part, part.row(found["part_row"])


class _Explained:
    """A result that has a mask, ready to be drawn; Refused with 404 when it has none."""

    def __init__(self, here: Context, job_id: str, row: int, method: str, rank: int) -> None:
        self.job = the_job(here, job_id)
        self.found = queries.get_result(here.database, self.job.id, row, method=method, target_rank=rank)
        self.tag = f"{self.found['part_id']}-{self.found['part_row']}"
        self.name = f"{row}-{rank}" if rank else str(row)
        self._here = here

    @property
    def masked(self) -> tuple[PartRow, drawing.Mask]:
        """The part's row and the mask at the network's input size."""
        stored, mask = self._here.part_cache.explanation(self.found)
        if stored is None or mask is None:
            raise Refused(
                404,
                f"image {self.found['row']} has no mask: its status is {self.found['status']}"
                + (f" ({self.found['error']})" if self.found["error"] else ""),
                "Look at the status; POST …/retry tries failed images again.",
            )
        return stored, mask

    def photograph(self, size: int) -> Picture:
        """The photograph from the job's dataset, as it was when it was explained, `size` pixels at most."""
        try:
            source = self._here.source(self.job.config["dataset"]["spec"])
            fetched = source.fetch(self.found["key"], self.found["version"])
            if fetched.changed:
                raise Refused(409, f"{self.found['key']} is not the photograph that was explained any more")
            return drawing.photograph(fetched.data, size)
        except Unavailable:
            raise
        except DatasetError as error:
            raise Refused(404, str(error), "The dataset must stay where it was for its pictures.") from None


def _answer(request: Request, data: bytes, media_type: str, tag: str, name: str) -> Response:
    headers = {
        "ETag": f'"{tag}"',
        # The address with `v=` names one result for good; without it the browser asks again.
        "Cache-Control": "private, max-age=31536000, immutable"
        if "v" in request.query_params
        else "private, no-cache",
        "Content-Disposition": f'inline; filename="{name}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _binary(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    unchanged: dict[int | str, dict[str, Any]] = {304: {"description": "If-None-Match names what there is"}}
    return documented(404, 409, also={200: {"content": content, "description": "The bytes"}, **unchanged})


@router.get("/results/{row}/mask.png", response_class=Response, responses=_binary("image/png"))
def mask_png(
    job_id: JobId,
    row: Row,
    request: Request,
    here: Here,
    caller: Reader,
    size: Size = 512,
    map: ColourMap = ColourMap("grey"),
    frame: Annotated[
        Literal["photograph", "input"], Query(description="Whose shape the picture has.")
    ] = "photograph",
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The mask, grey or coloured; in the photograph's frame clear where the network never looked."""
    one = _Explained(here, job_id, row, method, target_rank)
    key = (one.tag, "mask", size, map.value, frame)

    def draw() -> bytes:
        stored, mask = one.masked
        return drawing.mask_png(stored, mask, size=size, map=map.value, photograph=frame == "photograph")

    return _answer(request, here.pictures.get(key, draw), "image/png", _tag(key), f"{one.name}-mask.png")


def _tag(key: tuple[Any, ...]) -> str:
    return "-".join(str(piece) for piece in key)


@router.get("/results/{row}/mask.npy", response_class=Response, responses=_binary("application/octet-stream"))
def mask_npy(
    job_id: JobId,
    row: Row,
    request: Request,
    here: Here,
    caller: Reader,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The mask (H, W) float32 in [0, 1] at the network's input size, as the optimiser left it."""
    one = _Explained(here, job_id, row, method, target_rank)
    data = drawing.mask_npy(one.masked[1])
    return _answer(request, data, "application/octet-stream", f"{one.tag}-npy", f"{one.name}-mask.npy")


@router.get("/results/{row}/overlay.png", response_class=Response, responses=_binary("image/png"))
def overlay_png(
    job_id: JobId,
    row: Row,
    request: Request,
    here: Here,
    caller: Reader,
    size: Size = 768,
    map: ColourMap = ColourMap("viridis"),
    opacity: Annotated[float, Query(ge=0, le=1)] = 0.5,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The coloured mask over the photograph."""
    if map == "grey":
        raise Refused(422, "an overlay is coloured: viridis, magma or jet")
    one = _Explained(here, job_id, row, method, target_rank)
    key = (one.tag, "overlay", size, map.value, round(opacity, 3))

    def draw() -> bytes:
        stored, mask = one.masked
        return drawing.overlay_png(
            one.photograph(size), stored, mask, size=size, map=map.value, opacity=opacity
        )  # fmt: skip

    return _answer(request, here.pictures.get(key, draw), "image/png", _tag(key), f"{one.name}-overlay.png")


@router.get("/results/{row}/photo.jpg", response_class=Response, responses=_binary("image/jpeg"))
def photo_jpeg(
    job_id: JobId, row: Row, request: Request, here: Here, caller: Reader, size: Size = 768
) -> Response:
    """The photograph that was explained, made small."""
    one = _Explained(here, job_id, row, PRIMARY_METHOD, 0)
    key = (one.job.id, row, one.found["version"], "photo", size)
    data = here.pictures.get(key, lambda: jpeg(one.photograph(size)))
    return _answer(request, data, "image/jpeg", f"{one.tag}-photo-{size}", f"{row}-photo.jpg")


@router.put("/results/{row}/flag", status_code=204, responses=documented(404, 413))
def set_flag(job_id: JobId, row: Row, body: FlagIn, here: Here, caller: Submitter) -> None:
    """Mark an image, with a note."""
    job = the_job(here, job_id)
    queries.get_result(here.database, job.id, row)
    ledger.set_flag(here.database, job.id, row, body.flag, body.note, caller.name)


@router.delete("/results/{row}/flag", status_code=204, responses=documented(404))
def remove_flag(job_id: JobId, row: Row, here: Here, caller: Submitter) -> None:
    """Take the mark away."""
    job = the_job(here, job_id)
    ledger.set_flag(here.database, job.id, row, None)
