"""One explanation: its numbers, its mask, its photograph."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from gfi.api import drawing
from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.requests import (
    JobId,
    the_job,
)
from gfi.api.result_rows import Method, Rank, Row, Size, class_names, picked, shown
from gfi.api.schemas import (
    ColourMap,
    ExplanationOut,
)
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.digests import JSON
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.report.overlays import Picture, jpeg
from gfi.store import queries
from gfi.store.parts import Part, PartRow

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)


@router.get("/results/{row}", responses=documented(404))
def get_explanation(
    job_id: JobId,
    row: Row,
    context: ContextDep,
    caller: Reader,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> ExplanationOut:
    """One explanation with its geometry, what made it, and what it replaced."""
    job = the_job(context, job_id)
    found = queries.get_result(context.database, job.id, row, method=method, target_rank=target_rank)
    part, stored = _stored(context, found)
    header = part.header.to_json() if part else None
    earlier = [
        {k: v for k, v in each.items() if v is not None}
        for each in queries.earlier_results(
            context.database, job.id, row, method=method, target_rank=target_rank
        )
    ]
    return ExplanationOut(
        **picked(shown(found, class_names(job))),
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


def _stored(context: Context, found: JSON) -> tuple[Part | None, PartRow | None]:
    if found["part_id"] is None or found["part_row"] is None:
        return None, None
    part = context.part_cache.part(found["part_id"])
    return part, part.row(found["part_row"])


class _Explained:
    """A result that has a mask, ready to be drawn; Refused with 404 when it has none."""

    def __init__(self, context: Context, job_id: str, row: int, method: str, rank: int) -> None:
        self.job = the_job(context, job_id)
        self.found = queries.get_result(context.database, self.job.id, row, method=method, target_rank=rank)
        self.tag = f"{self.found['part_id']}-{self.found['part_row']}"
        self.name = f"{row}-{rank}" if rank else str(row)
        self._context = context

    @property
    def masked(self) -> tuple[PartRow, drawing.Mask]:
        """The part's row and the mask at the network's input size."""
        stored, mask = self._context.part_cache.explanation(self.found)
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
            source = self._context.source(self.job.config["dataset"]["spec"])
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
    context: ContextDep,
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
    one = _Explained(context, job_id, row, method, target_rank)
    key = (one.tag, "mask", size, map.value, frame)

    def draw() -> bytes:
        stored, mask = one.masked
        return drawing.mask_png(stored, mask, size=size, map=map.value, photograph=frame == "photograph")

    return _answer(request, context.pictures.get(key, draw), "image/png", _tag(key), f"{one.name}-mask.png")


def _tag(key: tuple[Any, ...]) -> str:
    return "-".join(str(piece) for piece in key)


@router.get("/results/{row}/mask.npy", response_class=Response, responses=_binary("application/octet-stream"))
def mask_npy(
    job_id: JobId,
    row: Row,
    request: Request,
    context: ContextDep,
    caller: Reader,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The mask (H, W) float32 in [0, 1] at the network's input size, as the optimiser left it."""
    one = _Explained(context, job_id, row, method, target_rank)
    data = drawing.mask_npy(one.masked[1])
    return _answer(request, data, "application/octet-stream", f"{one.tag}-npy", f"{one.name}-mask.npy")


@router.get("/results/{row}/overlay.png", response_class=Response, responses=_binary("image/png"))
def overlay_png(
    job_id: JobId,
    row: Row,
    request: Request,
    context: ContextDep,
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
    one = _Explained(context, job_id, row, method, target_rank)
    key = (one.tag, "overlay", size, map.value, round(opacity, 3))

    def draw() -> bytes:
        stored, mask = one.masked
        return drawing.overlay_png(
            one.photograph(size), stored, mask, size=size, map=map.value, opacity=opacity
        )  # fmt: skip

    return _answer(
        request, context.pictures.get(key, draw), "image/png", _tag(key), f"{one.name}-overlay.png"
    )


@router.get("/results/{row}/photo.jpg", response_class=Response, responses=_binary("image/jpeg"))
def photo_jpeg(
    job_id: JobId, row: Row, request: Request, context: ContextDep, caller: Reader, size: Size = 768
) -> Response:
    """The photograph that was explained, made small."""
    one = _Explained(context, job_id, row, PRIMARY_METHOD, 0)
    key = (one.job.id, row, one.found["version"], "photo", size)
    data = context.pictures.get(key, lambda: jpeg(one.photograph(size)))
    return _answer(request, data, "image/jpeg", f"{one.tag}-photo-{size}", f"{row}-photo.jpg")
