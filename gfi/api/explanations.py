"""One explanation: its numbers, its geometry and its provenance; the boxes of its image."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import documented
from gfi.api.result_rows import GeometryOut, Method, Rank, ResultOut, Row
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.jobs.image_boxes import image_boxes
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)


class ExplanationOut(GeometryOut, ResultOut):
    """One explanation with its geometry and its provenance."""

    grid_size: list[int] | None
    input_size: list[int] | None
    part_key: str | None
    part_sha256: str | None
    made_by: dict[str, Any] | None = Field(
        description="Model and method digests, recipe, layers, profile and code version, from the part."
    )
    earlier: list[dict[str, Any]] = Field(description="The earlier results of this image, oldest first.")


@router.get("/results/{row}", responses=documented(404))
def get_explanation(
    job_id: JobId,
    row: Row,
    context: ContextDep,
    caller: Reader,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> ExplanationOut:
    """One explanation with its geometry, its provenance, and the earlier results that it replaced."""
    job = find_job(context, job_id)
    result = queries.get_result(context.database, job.id, row, method=method, target_rank=target_rank)
    earlier = queries.earlier_results(context.database, job.id, row, method=method, target_rank=target_rank)
    part = explained = None
    if result.part_id is not None:
        part = queries.part_of(context.database, result.part_id)
        explained = context.part_cache.explanation(result)
    header, stored = (explained.header, explained.result) if explained else (None, None)
    grid = stored.grid if stored else None
    return ExplanationOut(
        **result.to_json(job.class_names),
        **{name: getattr(stored, name, None) for name in GeometryOut.model_fields},
        grid_size=None if grid is None else list(grid.shape),
        input_size=list(header.input_size) if header else None,
        part_key=part.key if part else None,
        part_sha256=part.sha256 if part else None,
        made_by=header.to_json() if header else None,
        earlier=[
            {name: value for name, value in before.to_json().items() if value is not None}
            | {"attempt": before.attempt}
            for before in earlier
        ],
    )


class BoxOut(BaseModel):
    """A box in pixels of the photograph, half-open. label: its own; null for the image's."""

    label: str | None
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool


class BoxesOut(BaseModel):
    """The boxes of an image. size: [H, W] of the photograph. error: why boxes that are listed cannot be used."""

    size: list[int] | None
    boxes: list[BoxOut]
    repairs: list[str]
    error: str | None


@router.get("/results/{row}/boxes", responses=documented(404))
def get_boxes(job_id: JobId, row: Row, context: ContextDep, caller: Reader) -> BoxesOut:
    """The boxes that the dataset has for an image, as metrics measure them: inside the photograph, in its pixels."""
    job = find_job(context, job_id)
    result = queries.get_result(context.database, job.id, row)
    explained = context.part_cache.explanation(result)
    size = explained.result.original_size if explained else None
    found = image_boxes(context.bucket, job, row, size)
    return BoxesOut(
        size=None if size is None else list(size),
        boxes=[BoxOut(**{name: getattr(box, name) for name in BoxOut.model_fields}) for box in found.boxes],
        repairs=list(found.repairs),
        error=found.error,
    )
