"""Pictures of one explanation: its mask, the mask over the photograph, the photograph."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gfi.api import drawing
from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, documented
from gfi.api.result_rows import Method, Rank, Row, Size
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.preprocess import Preprocess
from gfi.domain.result import Result
from gfi.report.colours import COLOUR_MAPS
from gfi.report.overlays import Picture, jpeg
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
ColourMap = StrEnum("ColourMap", {name.upper(): name for name in ("grey", *COLOUR_MAPS)})  # type: ignore[misc]


class _Explained:
    """A result whose pictures are drawn. Raises NotFound when there is no such result."""

    def __init__(self, context: Context, job_id: str, row: int, method: str, rank: int) -> None:
        self.job = find_job(context, job_id)
        self.result = queries.get_result(context.database, self.job.id, row, method=method, target_rank=rank)
        self.tag = self.result.picture
        self.name = f"{row}-{rank}" if rank else str(row)
        self._context = context

    def mask(self) -> tuple[Result, drawing.Mask]:
        """The result as its part holds it, and the mask (H, W) at the network's input size.

        Refused with 404 when there is none.
        """
        explained = self._context.part_cache.explanation(self.result)
        if explained is None or explained.mask is None:
            reason = f" ({self.result.error})" if self.result.error else ""
            raise Refused(
                404,
                f"image {self.result.row} has no mask: its status is {self.result.status}{reason}",
                "POST /v1/jobs/ID/retry tries failed images again.",
            )
        return explained.result, explained.mask

    def thumbnail(self) -> bytes:
        """The small JPEG of the photograph that its part keeps. Refused with 404 when there is none."""
        first = self.result
        if first.target_rank:  # only the first class of an image has it
            first = queries.get_result(self._context.database, self.job.id, first.row, method=first.method)
        explained = self._context.part_cache.explanation(first)
        if explained is None or explained.result.thumbnail is None:
            raise Refused(
                404,
                f"the part of image {first.row} has no thumbnail",
                "Parts keep thumbnails since format 2, unless the job has `thumbnails = false`.",
            )
        return explained.result.thumbnail

    def photograph(self, size: int) -> Picture:
        """The photograph from the job's dataset, its longer side `size` pixels at most.

        Refused with 409 if it is not the photograph that was explained, with 404 if it cannot be read.
        """
        try:
            source = self._context.source(self.job.config.dataset.spec)
            fetched = source.fetch(self.result.key, self.result.version)
            if fetched.changed:
                raise Refused(
                    409,
                    f"{self.result.key} has changed since it was explained",
                    "Submit the job again to explain the present photograph.",
                )
            return drawing.photograph(fetched.data, size, Preprocess.known(self.job.model))
        except Unavailable:
            raise
        except DatasetError as error:
            raise Refused(
                404,
                str(error),
                "Pictures need the photographs at the place where they were when the job ran.",
            ) from None


def _answer(request: Request, data: bytes, media_type: str, tag: str, name: str) -> Response:
    headers = {
        "ETag": f'"{tag}"',
        # An address with `v=` always means the same result; without it the browser must revalidate.
        "Cache-Control": "private, max-age=31536000, immutable"
        if "v" in request.query_params
        else "private, no-cache",
        "Content-Disposition": f'inline; filename="{name}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _tag(key: tuple[Any, ...]) -> str:
    return "-".join(str(piece) for piece in key)


def _binary(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    unchanged: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag sent"}}
    return documented(404, 409, also={200: {"content": content, "description": "The bytes"}, **unchanged})


@router.get("/results/{row}/mask.png", response_class=Response, responses=_binary("image/png"))
def mask_png(
    job_id: JobId,
    row: Row,
    request: Request,
    context: ContextDep,
    caller: Reader,
    size: Size = 512,
    colour_map: Annotated[ColourMap, Query(alias="map")] = ColourMap("grey"),
    frame: Annotated[
        drawing.Frame,
        Query(description="The shape of the picture: that of the photograph or that of the network's input."),
    ] = "photograph",
    threshold: Annotated[
        float,
        Query(ge=0, le=1, description="Transparent where the mask is below it, in the photograph's frame."),
    ] = 0.0,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The mask, grey or coloured. In the photograph's frame it is transparent outside the network's input."""
    explained = _Explained(context, job_id, row, method, target_rank)
    key = (explained.tag, "mask", size, colour_map.value, frame, round(threshold, 3))

    def draw() -> bytes:
        stored, mask = explained.mask()
        look: dict[str, Any] = {"size": size, "colour_map": colour_map.value, "frame": frame}
        return drawing.mask_png(stored, mask, threshold=threshold, **look)

    data = context.pictures.get(key, draw)
    return _answer(request, data, "image/png", _tag(key), f"{explained.name}-mask.png")


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
    explained = _Explained(context, job_id, row, method, target_rank)
    data = drawing.mask_npy(explained.mask()[1])
    tag, name = f"{explained.tag}-npy", f"{explained.name}-mask.npy"
    return _answer(request, data, "application/octet-stream", tag, name)


@router.get("/results/{row}/overlay.png", response_class=Response, responses=_binary("image/png"))
def overlay_png(
    job_id: JobId,
    row: Row,
    request: Request,
    context: ContextDep,
    caller: Reader,
    size: Size = 768,
    colour_map: Annotated[ColourMap, Query(alias="map")] = ColourMap("viridis"),
    opacity: Annotated[float, Query(ge=0, le=1)] = 0.5,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> Response:
    """The photograph with the coloured mask over it."""
    if colour_map == "grey":
        raise Refused(422, "an overlay cannot be grey", "Choose map=viridis, magma or jet.")
    explained = _Explained(context, job_id, row, method, target_rank)
    key = (explained.tag, "overlay", size, colour_map.value, round(opacity, 3))

    def draw() -> bytes:
        stored, mask = explained.mask()
        photograph = explained.photograph(size)
        return drawing.overlay_png(
            photograph, stored, mask, size=size, colour_map=colour_map.value, opacity=opacity
        )

    data = context.pictures.get(key, draw)
    return _answer(request, data, "image/png", _tag(key), f"{explained.name}-overlay.png")


@router.get("/results/{row}/photo.jpg", response_class=Response, responses=_binary("image/jpeg"))
def photo_jpeg(
    job_id: JobId, row: Row, request: Request, context: ContextDep, caller: Reader, size: Size = 768
) -> Response:
    """The photograph that was explained, made smaller."""
    explained = _Explained(context, job_id, row, PRIMARY_METHOD, 0)
    key = (explained.job.id, row, explained.result.version, "photo", size)
    data = context.pictures.get(key, lambda: jpeg(explained.photograph(size)))
    return _answer(request, data, "image/jpeg", f"{explained.tag}-photo-{size}", f"{row}-photo.jpg")


@router.get("/results/{row}/thumbnail.jpg", response_class=Response, responses=_binary("image/jpeg"))
def thumbnail_jpeg(
    job_id: JobId, row: Row, request: Request, context: ContextDep, caller: Reader
) -> Response:
    """The photograph at 64 pixels from the job's part: it needs no access to the dataset."""
    explained = _Explained(context, job_id, row, PRIMARY_METHOD, 0)
    return _answer(request, explained.thumbnail(), "image/jpeg", f"{explained.tag}-thumbnail", f"{row}.jpg")
