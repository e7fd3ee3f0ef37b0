"""The mean masks of a job and of its classes, from sums that commits maintain; no part is read."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from gfi.api import drawing
from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.pictures import ColourMap
from gfi.api.problems import Refused, documented
from gfi.api.result_rows import Method, Size
from gfi.api.schemas import Name
from gfi.domain.mean_masks import MeanMask
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
ClassName = Annotated[
    Name | None, Query(alias="class", description="A class: a label, or a target where images have no label.")
]


class MeanMaskOut(BaseModel):
    """A mean mask. Over images with status `ok`."""

    class_name: str | None = Field(description="The label, otherwise the target; null for the whole job.")
    images: int
    mask: list[list[float]] = Field(description="14 rows of 14 numbers in [0, 1], over the network's input.")
    spread: list[list[float]] | None = Field(
        description="The standard deviation of each of these numbers over the images; null where it is not known."
    )


class MeanMasksOut(BaseModel):
    """The mean masks of a job."""

    job: MeanMaskOut | None = Field(description="Of all images; null if no image counts.")
    classes: list[MeanMaskOut] = Field(description="Of single classes, the most images first.")
    total: int = Field(description="How many classes there are; 0 also where a job has more than 5,000.")
    due: int = Field(
        description="Masks that the next report adds (carried results) or subtracts (replaced ones)."
    )


def _out(one: MeanMask) -> MeanMaskOut:
    spread = None if one.spread is None else one.spread.round(4).tolist()
    return MeanMaskOut(
        class_name=one.class_name, images=one.images, mask=one.mask.round(4).tolist(), spread=spread
    )


@router.get("/mean-masks", responses=documented(404))
def mean_masks(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    class_name: ClassName = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    method: Method = PRIMARY_METHOD,
) -> MeanMasksOut:
    """The mean mask of the job, and those of its largest classes or of one class."""
    job = find_job(context, job_id)
    masks = queries.mean_masks(context.database, job.id)
    classes = masks.classes(method)
    shown = [one for one in classes if class_name in (None, one.class_name)]
    whole = masks.job(method)
    return MeanMasksOut(
        job=None if whole is None else _out(whole),
        classes=[_out(one) for one in shown[:limit]],
        total=len(classes),
        due=queries.count_masks_due(context.database, job.id),
    )


_PNG: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The bytes",
    }
}


@router.get("/mean-mask.png", response_class=Response, responses=documented(404, also=_PNG))
def mean_mask_png(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    class_name: ClassName = None,
    size: Size = 224,
    colour_map: Annotated[ColourMap, Query(alias="map")] = ColourMap("viridis"),
    method: Method = PRIMARY_METHOD,
    of: Annotated[
        Literal["mean", "spread"],
        Query(
            description="`spread`: the standard deviation of the masks, of which ½ is the brightest colour."
        ),
    ] = "mean",
) -> Response:
    """The mean mask of the job or of a class as a picture, over the network's input; or the spread of the masks."""
    job = find_job(context, job_id)
    masks = queries.mean_masks(context.database, job.id)
    found = [masks.job(method)] if class_name is None else masks.classes(method)
    mean = next((one for one in found if one is not None and one.class_name == class_name), None)
    if mean is None:
        which = "no image" if class_name is None else f"no image of class {class_name!r}"
        raise Refused(
            404,
            f"{which} counts in mean masks",
            "Only masks with status `ok` do; GET mean-masks lists classes.",
        )
    nothing = Result(0, "", ImageStatus.OK)
    if of == "spread" and mean.spread is None:
        raise Refused(
            404, "the spread of these masks is not known", "An earlier version of gfi counted some of them."
        )
    mask = (mean.mask if of == "mean" or mean.spread is None else mean.spread * 2).astype(np.float32)
    data = drawing.mask_png(nothing, mask, size=size, colour_map=colour_map.value, frame="input")
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, no-cache"})
