"""Images like a given one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import documented
from gfi.api.result_rows import Method, Rank, ResultOut, Row
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.jobs.similar import find_similar
from gfi.store import queries
from gfi.store.result_query import rows_to_json

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)


class SimilarImage(BaseModel):
    """A result and how similar it is, the cosine: 1 is the same."""

    similarity: float
    result: ResultOut


class SimilarOut(BaseModel):
    """Images like one, the most similar first."""

    images: list[SimilarImage]
    compared: int = Field(
        description="With how many results it was compared; at most 100,000 and for at most 5 s."
    )
    of: int = Field(description="How many results the job's parts have, also those without.")
    complete: bool = Field(description="False for a job that is too large to be compared as a whole.")


@router.get("/results/{row}/similar", responses=documented(404))
def similar(
    job_id: JobId,
    row: Row,
    context: ContextDep,
    caller: Reader,
    by: Annotated[
        Literal["mask", "features"],
        Query(
            description="`mask`: where the masks lie; `features`: what the network sees, of the whole photograph."
        ),
    ] = "mask",
    limit: Annotated[int, Query(ge=1, le=100)] = 24,
    method: Method = PRIMARY_METHOD,
    target_rank: Rank = 0,
) -> SimilarOut:
    """The images of the job whose masks, or features, are most like those of an image."""
    job = find_job(context, job_id)
    result = queries.get_result(context.database, job.id, row, method=method, target_rank=target_rank)
    found = find_similar(context.database, context.bucket, context.part_cache, job.id, result, by, limit)
    rows = rows_to_json(context.database, job, [one for one, _ in found.images])
    return SimilarOut(
        images=[
            SimilarImage(similarity=round(similarity, 6), result=ResultOut(**row))
            for row, (_, similarity) in zip(rows, found.images, strict=True)
        ],
        compared=found.compared,
        of=found.of,
        complete=found.complete,
    )
