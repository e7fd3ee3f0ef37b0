"""Jobs: submit, list, show, pause, cancel, retry, delete."""

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.estimate_schemas import EstimateIn, EstimateOut
from gfi.api.job_schemas import ChangeOut, JobDetail, JobIn, JobOut, SubmittedOut
from gfi.api.lookup import After, IdempotencyKey, JobId, Limit, find_job, job_detail, job_request
from gfi.api.problems import documented
from gfi.api.schemas import LARGEST, In, Name, Page, decode_cursor, encode_cursor
from gfi.domain.digests import digest
from gfi.domain.row_ranges import MOST_ROWS
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs import delete, estimate, incremental
from gfi.jobs.notify_addresses import check_addresses
from gfi.jobs.submit import freeze, submit
from gfi.store import ledger, queries, tracing

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


class ValidOut(BaseModel):
    """A valid submission: the configuration as it would be frozen, and its digest."""

    valid: Literal[True] = True
    config: dict[str, Any]
    config_digest: str


class SinceOut(BaseModel):
    """What an incremental job would explain and carry. `reason`: why it carries nothing, null if it may."""

    job: str
    explained: int
    new: int
    changed: int
    carried: int
    removed: int
    shrank: bool = Field(description="More than half of the earlier images are gone: send allow_shrunk.")
    reason: str | None
    sentence: str


class PlanOut(EstimateOut):
    """The plan of a job, and what an incremental one would carry."""

    since: SinceOut | None = Field(
        None,
        description="Of a job with `since`: then the numbers above are of the images to explain. Null if the listing is"
        " too long to be compared at once; the planner does it.",
    )


class RetryIn(In):
    """The images to explain again: those with one of these statuses and, if `classes` are given, with an error of one
    of these classes (`unreadable`, `missing`, `killer` …); or `rows` alone, whatever their status is.
    """

    statuses: list[ImageStatus] = Field(
        default_factory=lambda: [ImageStatus.ERROR, ImageStatus.CHANGED], min_length=1, max_length=9
    )
    classes: list[Name] = Field(default_factory=list, max_length=32)
    rows: list[Annotated[int, Field(strict=True, ge=0, le=LARGEST)]] = Field(
        default_factory=list,
        max_length=MOST_ROWS,
        description="Only these images, of a job that succeeded or is partial; shards that failed stay as they are.",
    )


class PriorityIn(In):
    """The priority of a job; higher is claimed first."""

    priority: Annotated[int, Field(ge=-100, le=100)]


@router.post("", status_code=201, responses=documented(409, 413, also={200: {"model": SubmittedOut}}))
def submit_job(
    body: JobIn,
    context: ContextDep,
    caller: Submitter,
    http: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> SubmittedOut:
    """Submit a job. 201 with the new job, or 200 with the one that exists already."""
    check_addresses(body, context.api)
    request = job_request(context, body, caller.name)
    with tracing.called_by(http.headers):
        submitted = submit(
            context.database,
            context.settings,
            request,
            idempotency_key=idempotency_key,
            new=body.new,
            count_images=context.count_images,
        )
    job = queries.get_job(context.database, submitted.job_id)
    response.status_code = 201 if submitted.created else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return SubmittedOut(job=job_detail(context, job), created=submitted.created, reason=submitted.reason)


@router.post("/validate", responses=documented(413))
def validate_job(body: JobIn, context: ContextDep, caller: Submitter) -> ValidOut:
    """Check a job without submitting it; the answer is the configuration as it would be frozen."""
    check_addresses(body, context.api)
    config = freeze(context.database, context.settings, job_request(context, body, caller.name))
    return ValidOut(config=config.to_json(), config_digest=digest(config.to_json()))


@router.post("/estimate", responses=documented(413))
def estimate_job(body: EstimateIn, context: ContextDep, caller: Submitter) -> PlanOut:
    """The plan of a job: images, time by number of workers, workers for a deadline, memory, bytes, requests and costs.

    The time follows from measured rates; `speed` says from which, and is a range where this work was never measured.
    """
    settings = context.settings
    request = job_request(context, body, caller.name)
    config = freeze(context.database, settings, request)
    images, complete, since = body.images, True, None
    if images is None:
        listing = context.listing(config.dataset.spec)
        images, complete = listing.images, listing.complete
        if request.since is not None and complete:
            carried = incremental.preview(context.database, settings, request)
            since, images = SinceOut(**carried.to_json()), carried.counts.explained
    expected = estimate.estimate(
        context.database,
        settings,
        config,
        images,
        complete,
        workers=body.workers,
        deadline_s=body.deadline_s,
        prices=settings.prices.replaced(**body.prices()),
    )
    return PlanOut(**dataclasses.asdict(expected), since=since)


@router.get("", responses=documented())
def list_jobs(
    context: ContextDep,
    caller: Reader,
    state: JobState | None = None,
    owner: Annotated[Name | None, Query()] = None,
    tag: Annotated[Name | None, Query(description="A tag of the job.")] = None,
    search: Annotated[Name | None, Query(description="A part of the name, or a tag.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[JobOut]:
    """Jobs, newest first."""
    last = decode_cursor(after, (str,))[0] if after is not None else None
    jobs = queries.list_jobs(
        context.database, limit=limit, after=last, state=state, owner=owner, tag=tag, search=search
    )
    items = [JobOut.of(job, known) for job, known in queries.with_progress(context.database, jobs)]
    return Page(items=items, next=encode_cursor([jobs[-1].id]) if len(jobs) == limit else None)


@router.get("/{job_id}", responses=documented(404))
def get_job(job_id: JobId, context: ContextDep, caller: Reader) -> JobDetail:
    """One job with its progress, configuration and provenance."""
    return job_detail(context, find_job(context, job_id))


@router.delete("/{job_id}", responses=documented(404, 409))
def cancel_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Cancel. Finished results stay readable; running workers release their shards within seconds.

    A finished job whose retry is cancelled is `succeeded` or `partial` again.
    """
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    changed = ledger.cancel_job(context.database, job.id, actor=caller.name)
    return ChangeOut(job=job.id, changed=changed, state=find_job(context, job.id).state)


@router.post("/{job_id}/pause", responses=documented(404, 409))
def pause_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Pause: no more shards are claimed; workers commit what is finished and release the rest."""
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    return ChangeOut(
        job=job.id, changed=ledger.pause_job(context.database, job.id, actor=caller.name), state="paused"
    )


@router.post("/{job_id}/resume", responses=documented(404, 409))
def resume_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Resume a paused job."""
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    changed = ledger.resume_job(context.database, job.id, actor=caller.name)
    return ChangeOut(job=job.id, changed=changed, state=job.state)


@router.post("/{job_id}/retry", status_code=202, responses=documented(404, 409, 413))
def retry_job(job_id: JobId, body: RetryIn, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Retry the images with these statuses and every shard that was given up, or chosen images. The earlier results are
    kept."""
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    statuses = tuple(body.statuses)
    retried = ledger.retry_job(
        context.database, job.id, statuses, classes=body.classes, rows=body.rows, actor=caller.name
    )
    return ChangeOut(job=job.id, changed=True, state=retried.state)


@router.put("/{job_id}/priority", responses=documented(404, 413))
def set_priority(job_id: JobId, body: PriorityIn, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Change the priority. It applies from the next claimed shard on."""
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    ledger.set_priority(context.database, job.id, body.priority, actor=caller.name)
    return ChangeOut(job=job.id, changed=job.priority != body.priority, state=job.state)


@router.delete("/{job_id}/data", responses=documented(404, 409))
def delete_job(job_id: JobId, context: ContextDep, caller: Submitter) -> ChangeOut:
    """Delete an ended job: its rows, parts, pictures and uploads. The audit log keeps that it existed."""
    job = find_job(context, job_id)
    caller.require_owner(job.owner)
    delete.delete_job(context.database, context.bucket, job.id, actor=caller.name)
    return ChangeOut(job=job.id, changed=True, state="deleted")


@router.get("/{job_id}/config", responses=documented(404))
def export_config(job_id: JobId, context: ContextDep, caller: Reader, response: Response) -> dict[str, Any]:
    """The frozen configuration, model record, profile and digests of a job, to be archived."""
    job = find_job(context, job_id)
    response.headers["Content-Disposition"] = f'attachment; filename="gfi-{job.id}.json"'
    return {
        "job": job.id,
        "config": job.stored_config,
        "config_digest": job.config_digest,
        "model": job.model,
        "manifest_digest": job.manifest_digest,
        "listing_digest": job.listing_digest,
        "profile": job.profile,
    }
