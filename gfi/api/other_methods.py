"""Other methods beside a job's own: each is a separate job over the same images.

Comparisons of two jobs are `gfi.api.comparisons`. The addresses `/comparisons` and `/beside` of a job, which these
routes had before, are deprecated aliases.
"""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.job_schemas import JobOut, SubmittedOut
from gfi.api.lookup import JobId, find_job, job_detail
from gfi.api.problems import Refused, documented
from gfi.api.schemas import In
from gfi.datasets.sources import UPLOAD
from gfi.jobs import other_methods
from gfi.jobs.submit import submit
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


class MethodIn(In):
    """The method to compare a job with."""

    method: Literal[
        "paper", "released", "tuned", "grad-cam", "integrated-gradients", "occlusion", "rise", "opti-cam"
    ]


class MethodOut(BaseModel):
    """A method to compare a job with. `own`: it is the job's own method. `job`: the job that explains the same images
    with it, null when there is none. `reason`: why it is not possible for this job, null when it is.
    """

    method: str
    own: bool
    reason: str | None
    job: JobOut | None


class MethodsOut(BaseModel):
    """The methods that a job can be compared with, and other jobs over its dataset, newest first."""

    methods: list[MethodOut]
    jobs: list[JobOut]


@router.get("/{job_id}/methods", responses=documented(404))
@router.get("/{job_id}/comparisons", responses=documented(404), deprecated=True)
@router.get("/{job_id}/beside", responses=documented(404), deprecated=True)
def list_methods(job_id: JobId, context: ContextDep, caller: Reader) -> MethodsOut:
    """Methods this job can be compared with, and the other jobs over its dataset."""
    methods, others = other_methods.list_methods(context.database, find_job(context, job_id))
    shown = {job.id: JobOut.of(job, known) for job, known in queries.with_progress(context.database, others)}
    return MethodsOut(
        methods=[
            MethodOut(
                method=offered.method,
                own=offered.own,
                reason=offered.reason,
                job=shown.get(offered.job.id) if offered.job else None,
            )
            for offered in methods
        ],
        jobs=list(shown.values()),
    )


_RESPONSES: dict[int | str, dict[str, Any]] = documented(404, 409, 413, also={200: {"model": SubmittedOut}})


@router.post("/{job_id}/methods", status_code=201, responses=_RESPONSES)
@router.post("/{job_id}/comparisons", status_code=201, responses=_RESPONSES, deprecated=True)
@router.post("/{job_id}/beside", status_code=201, responses=_RESPONSES, deprecated=True)
def explain_with(
    job_id: JobId, body: MethodIn, context: ContextDep, caller: Submitter, response: Response
) -> SubmittedOut:
    """Explain the same images with another method. 201 with the new job, or 200 with an existing one."""
    job = find_job(context, job_id)
    if job.config.dataset.spec.startswith(UPLOAD):
        caller.require_owner(job.owner)  # the new job reads the photographs
    request = other_methods.request_for(context.database, job, body.method, caller.name)
    methods, _ = other_methods.list_methods(context.database, job)
    known = next(offered for offered in methods if offered.method == body.method)
    if known.own:
        raise Refused(422, f"job {job.id} already uses the method {body.method}", "Choose another method.")
    if known.job is not None:
        response.status_code = 200
        reason = f"job {known.job.id} explains these images with {body.method}"
        return SubmittedOut(job=job_detail(context, known.job), created=False, reason=reason)
    submitted = submit(context.database, context.settings, request, count_images=context.count_images)
    made = queries.get_job(context.database, submitted.job_id)
    response.headers["Location"] = f"/v1/jobs/{made.id}"
    return SubmittedOut(job=job_detail(context, made), created=submitted.created, reason=submitted.reason)
