"""One explanation: its numbers, its geometry, and what made it."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import documented
from gfi.api.result_rows import Method, Rank, ResultOut, Row, class_names, result_fields
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)


class ExplanationOut(ResultOut):
    """One explanation with its geometry and what made it."""

    original_size: list[int] | None = Field(description="[H, W] of the photograph after EXIF orientation.")
    box: list[float] | None = Field(
        description="What the network saw: left, top, right, bottom, original pixels."
    )
    grid_size: list[int] | None
    input_size: list[int] | None
    shard_id: str
    fence: int
    part_key: str | None
    part_sha256: str | None
    made_by: dict[str, Any] | None = Field(
        description="Model and method digests, recipe, layers, profile and code version, from the part."
    )
    earlier: list[dict[str, Any]] = Field(description="What this result replaced, oldest first.")


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
    job = find_job(context, job_id)
    result = queries.get_result(context.database, job.id, row, method=method, target_rank=target_rank)
    earlier = queries.earlier_results(context.database, job.id, row, method=method, target_rank=target_rank)
    part = stored = None
    if result["part_id"] is not None and result["part_row"] is not None:
        part = context.part_cache.part(result["part_id"])
        stored = part.row(result["part_row"])
    return ExplanationOut(
        **result_fields(result, class_names(job)),
        original_size=_list(stored.original_size if stored else None),
        box=_list(stored.box if stored else None),
        grid_size=_list(stored.grid.shape if stored and stored.grid is not None else None),
        input_size=_list(part.header.input_size if part else None),
        shard_id=result["shard_id"],
        fence=result["fence"],
        part_key=result["part_key"],
        part_sha256=result["part_sha256"],
        made_by=part.header.to_json() if part else None,
        earlier=[{k: v for k, v in attempt.items() if v is not None} for attempt in earlier],
    )


def _list(values: Any) -> list[Any] | None:
    return None if values is None else list(values)
