"""Jobs: submit, list, look, stop, try again, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import documented
from gfi.api.requests import (
    JobId,
    Limit,
    check_limits,
    detail,
    resolved,
    the_job,
)
from gfi.api.schemas import (
    ChangeOut,
    EstimateOut,
    JobDetail,
    JobIn,
    JobOut,
    Name,
    Page,
    PriorityIn,
    RetryIn,
    SubmittedOut,
    ValidOut,
    decode_cursor,
    encode_cursor,
)
from gfi.api.webhook_addresses import check as check_address
from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.digests import digest
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs import estimate
from gfi.jobs.delete import delete_objects
from gfi.jobs.submit import freeze, submit
from gfi.store import ledger, queries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key returns the same job, however often the request is repeated.",
    ),
]


@router.post("", status_code=201, responses=documented(409, 413, also={200: {"model": SubmittedOut}}))
def submit_job(
    body: JobIn,
    context: ContextDep,
    caller: Submitter,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> SubmittedOut:
    """Start a job. 201 with the new job, 200 with the one that is there already."""
    if body.webhook is not None:
        check_address(body.webhook, context.api)
    request = resolved(context, body, caller.name)
    check_limits(context, caller, request.dataset)
    submitted = submit(
        context.database, context.settings, request, idempotency_key=idempotency_key, new=body.new
    )  # fmt: skip
    job = queries.get_job(context.database, submitted.job_id)
    response.status_code = 201 if submitted.created else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return SubmittedOut(job=detail(context, job), created=submitted.created, reason=submitted.reason)


@router.post("/validate", responses=documented(413))
def validate_job(body: JobIn, context: ContextDep, caller: Submitter) -> ValidOut:
    """Check a job without starting it; the answer is the configuration as it would be frozen."""
    if body.webhook is not None:
        check_address(body.webhook, context.api)
    config = freeze(context.database, context.settings, resolved(context, body, caller.name))
    return ValidOut(config=config, config_digest=digest(config))


@router.post("/estimate", responses=documented(413))
def estimate_job(body: JobIn, context: ContextDep, caller: Submitter) -> EstimateOut:
    """What a job would cost: images, shards, device seconds from measured rates, bytes in the bucket."""
    config = freeze(context.database, context.settings, resolved(context, body, caller.name))
    source = context.source(config["dataset"]["spec"])
    return EstimateOut(**estimate.estimate(context.database, context.settings, config, source).__dict__)


@router.get("", responses=documented())
def list_jobs(
    context: ContextDep,
    caller: Reader,
    state: JobState | None = None,
    owner: Annotated[Name | None, Query()] = None,
    search: Annotated[Name | None, Query(description="A piece of the name.")] = None,
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Limit = 50,
) -> Page[JobOut]:
    """Jobs, newest first."""
    last = decode_cursor(after, (str,))[0] if after is not None else None
    found = queries.list_jobs(
        context.database, limit=limit, after=last, state=state, owner=owner, search=search
    )  # fmt: skip
    progress = queries.jobs_progress(context.database, [job.id for job in found]) if found else []
    items = [JobOut.of(job, each) for job, each in zip(found, progress, strict=True)]
    return Page(items=items, next=encode_cursor([found[-1].id]) if len(found) == limit else None)


@router.get("/{job_id}", responses=documented(404))
def get_job(job_id: JobId, context: ContextDep, caller: Reader) -> JobDetail:
    """One job with its progress, configuration and provenance."""
    return detail(context, the_job(context, job_id))


@router.delete("/{job_id}", responses=documented(404, 409))
def cancel_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Cancel. What was finished by then stays readable; a running worker lets go within seconds."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    changed = ledger.cancel_job(context.database, job.id, actor=caller.name)
    return ChangeOut(job=job.id, changed=changed, state=JobState.CANCELLED)


@router.post("/{job_id}/pause", responses=documented(404, 409))
def pause_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Claim nothing more; workers commit what is finished and let go."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    return ChangeOut(
        job=job.id, changed=ledger.pause_job(context.database, job.id, actor=caller.name), state="paused"
    )


@router.post("/{job_id}/resume", responses=documented(404, 409))
def resume_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Go on."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    changed = ledger.resume_job(context.database, job.id, actor=caller.name)
    return ChangeOut(job=job.id, changed=changed, state=job.state)


@router.post("/{job_id}/retry", status_code=202, responses=documented(404, 409, 413))
def retry_job(job_id: JobId, body: RetryIn, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Try the images with these statuses again, and every shard that was given up. The history is kept."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    statuses = tuple(ImageStatus(each) for each in body.statuses)
    retried = ledger.retry_job(context.database, job.id, statuses, actor=caller.name)
    return ChangeOut(job=job.id, changed=True, state=retried.state)


@router.put("/{job_id}/priority", responses=documented(404, 413))
def set_priority(job_id: JobId, body: PriorityIn, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Change the priority; it counts from the next shard on."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    ledger.set_priority(context.database, job.id, body.priority, actor=caller.name)
    return ChangeOut(job=job.id, changed=job.priority != body.priority, state=job.state)


@router.delete("/{job_id}/data", responses=documented(404, 409))
def delete_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Delete an ended job: its rows, parts, pictures and uploads. The audit keeps that it existed."""
    job = the_job(context, job_id)
    caller.require_owner(job.owner)
    deleted = ledger.delete_job(context.database, job.id, actor=caller.name)
    spec = str(job.config.get("dataset", {}).get("spec", ""))
    sent = (f"{UPLOADS}{spec.removeprefix(UPLOAD)}/",) if spec.startswith(UPLOAD) else ()
    delete_objects(context.bucket, (*deleted.prefixes, *sent))
    return ChangeOut(job=job.id, changed=True, state="deleted")


@router.get("/{job_id}/config", responses=documented(404))
def export_config(job_id: JobId, context: ContextDep, caller: Reader, response: Response) -> dict[str, Any]:
    """The frozen configuration with everything that decides what comes out, and its digests: to be archived."""
    job = the_job(context, job_id)
    response.headers["Content-Disposition"] = f'attachment; filename="gfi-{job.id}.json"'
    return {
        "job": job.id,
        "config": job.config,
        "config_digest": job.config_digest,
        "model": job.model,
        "manifest_digest": job.manifest_digest,
        "listing_digest": job.listing_digest,
        "profile": job.profile,
    }
