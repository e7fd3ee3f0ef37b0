"""Finds what a request names: the job of an id, the submission of a body."""

from typing import Annotated

from fastapi import Header, Path, Query

from gfi.api.context import Context
from gfi.api.dataset_names import resolve_dataset
from gfi.api.job_schemas import JobDetail, JobIn
from gfi.jobs.submit import JobRequest
from gfi.jobs.waiting import why_waiting
from gfi.store import queries
from gfi.store.errors import NotFound
from gfi.store.queries import Job

JobId = Annotated[
    str, Path(min_length=1, max_length=64, description="The id of a job, as returned by its submission.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items of one page, at most.")]
After = Annotated[
    str | None, Query(max_length=512, description="The `next` of the page before; none for the first page.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Requests with the same key return the same job.",
    ),
]


def find_job(context: Context, job_id: str) -> Job:
    """The job with exactly this id. Raises NotFound."""
    job = queries.get_job(context.database, job_id)
    if job.id != job_id:  # the ledger also accepts the beginning of an id, for people at a terminal
        raise NotFound(f"no job {job_id}; GET /v1/jobs lists them")
    return job


def job_detail(context: Context, job: Job) -> JobDetail:
    """A job with its progress and provenance."""
    progress = queries.job_progress(context.database, job.id)
    return JobDetail.whole(job, progress, why_waiting(context.database, job))


def job_request(context: Context, body: JobIn, owner: str) -> JobRequest:
    """A body in the form that `submit` expects, with `@name` replaced by the dataset that it stands for."""
    return body.model_copy(update={"dataset": resolve_dataset(context, body.dataset)}).request(owner)
