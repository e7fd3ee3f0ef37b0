"""From a request to what it names: the job of an id, the dataset of a name, a job as it is submitted."""

import json
from typing import Annotated

from fastapi import Path, Query

from gfi.api.access import Submitter
from gfi.api.context import Context
from gfi.api.problems import Refused
from gfi.api.schemas import (
    JobDetail,
    JobIn,
)
from gfi.api.webhook_addresses import address_of
from gfi.datasets.sources import UPLOAD
from gfi.domain.states import ACTIVE
from gfi.jobs import estimate
from gfi.jobs.submit import JobRequest
from gfi.store import queries
from gfi.store.errors import LimitExceeded, NotFound
from gfi.store.queries import Job

JobId = Annotated[str, Path(min_length=1, max_length=64, description="As a submission returned it.")]
Limit = Annotated[int, Query(ge=1, le=1000)]

PREFIX = "datasets/"


def the_job(context: Context, job_id: str) -> Job:
    """The job with exactly this id. NotFound else."""
    job = queries.get_job(context.database, job_id)
    if job.id != job_id:  # the ledger also takes the beginning of an id, for people at a terminal
        raise NotFound(f"no job {job_id}; GET /v1/jobs lists them")
    return job


def resolved(context: Context, body: JobIn, owner: str) -> JobRequest:
    """A body as the submission takes it, `@name` replaced by the dataset it stands for."""
    return body.model_copy(update={"dataset": spec_of(context, body.dataset)}).request(owner)


def detail(context: Context, job: Job) -> JobDetail:
    """A job with its progress and provenance."""
    progress = queries.job_progress(context.database, job.id)
    return JobDetail.whole(job, progress, address_of(context.database, job.id) is not None)


def spec_of(context: Context, dataset: str) -> str:
    """What `@name` stands for; anything else as it is. Refused with 422 for an unknown name, and for somebody's
    upload, which only the job that was made of it may read.
    """
    if dataset.startswith(UPLOAD):
        raise Refused(422, "an upload is no dataset; send the photographs to POST /v1/uploads")
    if not dataset.startswith("@"):
        return dataset
    try:
        return str(json.loads(context.bucket.get(dataset_key(dataset[1:])))["dataset"])
    except NotFound:
        raise Refused(422, f"no dataset is registered as {dataset}", "GET /v1/datasets lists them.") from None


def dataset_key(name: str) -> str:
    if not name or not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name):
        raise Refused(422, f"@{name[:64]} is no name of a dataset", "GET /v1/datasets lists them.")
    return f"{PREFIX}{name}.json"


def check_limits(context: Context, caller: Submitter, dataset: str) -> None:
    """LimitExceeded where the caller's token may not start this job."""
    most = caller.limits.get("max_active_jobs")
    if most is not None:
        active = sum(
            len(queries.list_jobs(context.database, state=state, owner=caller.name, limit=most + 1))
            for state in ACTIVE
        )
        if active >= most:
            raise LimitExceeded(f"this token may have {most} active jobs, and has {active}")
    most = caller.limits.get("max_images")
    if most is not None:
        images, _ = estimate.count(context.source(dataset), most + 1)
        if images > most:
            raise LimitExceeded(f"this token may explain {most} images a job; the dataset has more")
