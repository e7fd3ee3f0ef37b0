"""Comparisons of a job with other methods, each a job of its own over the same images."""

from typing import Any

from fastapi import APIRouter, Response

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.requests import (
    JobId,
    check_limits,
    detail,
    the_job,
)
from gfi.api.schemas import (
    ComparisonIn,
    ComparisonOut,
    ComparisonsOut,
    JobOut,
    SubmittedOut,
)
from gfi.jobs import comparison
from gfi.jobs.submit import submit
from gfi.store import queries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.get("/{job_id}/comparisons", responses=documented(404))
@router.get("/{job_id}/beside", responses=documented(404), deprecated=True, include_in_schema=False)
def list_comparisons(job_id: JobId, context: ContextDep, caller: Reader) -> ComparisonsOut:
    """Methods this job can be compared with, and the other jobs over its dataset."""
    methods, others = comparison.list_comparisons(context.database, the_job(context, job_id))
    progress = queries.jobs_progress(context.database, [job.id for job in others]) if others else []
    shown = {job.id: JobOut.of(job, each) for job, each in zip(others, progress, strict=True)}
    return ComparisonsOut(
        methods=[
            ComparisonOut(
                method=each.method, own=each.own, reason=each.reason, job=shown[each.job.id] if each.job else None
            )
            for each in methods
        ],
        jobs=list(shown.values()),
    )  # fmt: skip


_MADE: dict[int | str, dict[str, Any]] = documented(404, 409, 413, also={200: {"model": SubmittedOut}})


@router.post("/{job_id}/comparisons", status_code=201, responses=_MADE)
@router.post("/{job_id}/beside", status_code=201, responses=_MADE, include_in_schema=False)
def compare_job(
    job_id: JobId, body: ComparisonIn, context: ContextDep, caller: Submitter, response: Response
) -> SubmittedOut:
    """Explain the same images with another method. 200 with the job that already does."""
    job = the_job(context, job_id)
    request = comparison.request_for(context.database, job, body.method, caller.name)
    methods, _ = comparison.list_comparisons(context.database, job)
    (known,) = (each for each in methods if each.method == body.method)
    if known.own:
        raise Refused(422, f"job {job.id} itself explains with {body.method}", "Choose another method.")
    if known.job is not None:
        response.status_code = 200
        reason = f"{known.job.id} explains these images with {body.method}"
        return SubmittedOut(job=detail(context, known.job), created=False, reason=reason)
    check_limits(context, caller, request.dataset)
    submitted = submit(context.database, context.settings, request)
    made = queries.get_job(context.database, submitted.job_id)
    response.headers["Location"] = f"/v1/jobs/{made.id}"
    return SubmittedOut(job=detail(context, made), created=submitted.created, reason=submitted.reason)
