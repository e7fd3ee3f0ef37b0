"""Jobs: submit, list, look, stop, try again, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response

from gfi.api import datasets, webhooks
from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, Here
from gfi.api.problems import Refused, documented
from gfi.api.schemas import (
    BesideIn,
    BesideOut,
    Done,
    EstimateOut,
    FailureOut,
    JobDetail,
    JobIn,
    JobOut,
    MethodOut,
    Name,
    Page,
    PriorityIn,
    RetryIn,
    ShardOut,
    SubmittedOut,
    ValidOut,
    decode_cursor,
    encode_cursor,
)
from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.digests import digest
from gfi.domain.states import ACTIVE, JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs import comparison, estimate
from gfi.jobs.delete import delete_objects
from gfi.jobs.submit import JobRequest, freeze, submit
from gfi.store import ledger, queries
from gfi.store.errors import LimitExceeded, NotFound
from gfi.store.queries import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)
JobId = Annotated[str, Path(min_length=1, max_length=64, description="As a submission returned it.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
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


def the_job(here: Context, job_id: str) -> Job:
    """The job with exactly this id. NotFound else."""
    job = queries.get_job(here.database, job_id)
    if job.id != job_id:  # the ledger also takes the beginning of an id, for people at a terminal
        raise NotFound(f"no job {job_id}; GET /v1/jobs lists them")
    return job


def resolved(here: Context, body: JobIn, owner: str) -> JobRequest:
    """A body as the submission takes it, `@name` replaced by the dataset it stands for."""
    return body.model_copy(update={"dataset": datasets.spec_of(here, body.dataset)}).request(owner)


def detail(here: Context, job: Job) -> JobDetail:
    """A job with its progress and provenance."""
    progress = queries.job_progress(here.database, job.id)
    return JobDetail.whole(job, progress, webhooks.address_of(here.database, job.id) is not None)


@router.post("", status_code=201, responses=documented(409, 413, also={200: {"model": SubmittedOut}}))
def submit_job(
    body: JobIn, here: Here, caller: Submitter, response: Response, idempotency_key: IdempotencyKey = None
) -> SubmittedOut:
    """Start a job. 201 with the new job, 200 with the one that is there already."""
    if body.webhook is not None:
        webhooks.check(body.webhook, here.api)
    request = resolved(here, body, caller.name)
    _within_limits(here, caller, request.dataset)
    submitted = submit(
        here.database, here.settings, request, idempotency_key=idempotency_key, new=body.new
    )  # fmt: skip
    job = queries.get_job(here.database, submitted.job_id)
    response.status_code = 201 if submitted.created else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return SubmittedOut(job=detail(here, job), created=submitted.created, reason=submitted.reason)


def _within_limits(here: Context, caller: Submitter, dataset: str) -> None:
    most = caller.limits.get("max_active_jobs")
    if most is not None:
        active = sum(
            len(queries.list_jobs(here.database, state=state, owner=caller.name, limit=most + 1))
            for state in ACTIVE
        )
        if active >= most:
            raise LimitExceeded(f"this token may have {most} active jobs, and has {active}")
    most = caller.limits.get("max_images")
    if most is not None:
        images, _ = estimate.count(here.source(dataset), most + 1)
        if images > most:
            raise LimitExceeded(f"this token may explain {most} images a job; the dataset has more")


@router.post("/validate", responses=documented(413))
def validate_job(body: JobIn, here: Here, caller: Submitter) -> ValidOut:
    """Check a job without starting it; the answer is the configuration as it would be frozen."""
    if body.webhook is not None:
        webhooks.check(body.webhook, here.api)
    config = freeze(here.database, here.settings, resolved(here, body, caller.name))
    return ValidOut(config=config, config_digest=digest(config))


@router.post("/estimate", responses=documented(413))
def estimate_job(body: JobIn, here: Here, caller: Submitter) -> EstimateOut:
    """What a job would cost: images, shards, device seconds from measured rates, bytes in the bucket."""
    config = freeze(here.database, here.settings, resolved(here, body, caller.name))
    source = here.source(config["dataset"]["spec"])
    return EstimateOut(**estimate.estimate(here.database, here.settings, config, source).__dict__)


@router.get("", responses=documented())
def list_jobs(
    here: Here,
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
        here.database, limit=limit, after=last, state=state, owner=owner, search=search
    )  # fmt: skip
    progress = queries.jobs_progress(here.database, [job.id for job in found]) if found else []
    items = [JobOut.of(job, each) for job, each in zip(found, progress, strict=True)]
    return Page(items=items, next=encode_cursor([found[-1].id]) if len(found) == limit else None)


@router.get("/{job_id}", responses=documented(404))
def get_job(job_id: JobId, here: Here, caller: Reader) -> JobDetail:
    """One job with its progress, configuration and provenance."""
    return detail(here, the_job(here, job_id))


@router.delete("/{job_id}", responses=documented(404, 409))
def cancel_job(job_id: JobId, here: Here, caller: Submitter) -> Done:
    """Cancel. What was finished by then stays readable; a running worker lets go within seconds."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    changed = ledger.cancel_job(here.database, job.id, actor=caller.name)
    return Done(job=job.id, changed=changed, state=JobState.CANCELLED)


@router.post("/{job_id}/pause", responses=documented(404, 409))
def pause_job(job_id: JobId, here: Here, caller: Submitter) -> Done:
    """Claim nothing more; workers commit what is finished and let go."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    return Done(
        job=job.id, changed=ledger.pause_job(here.database, job.id, actor=caller.name), state="paused"
    )


@router.post("/{job_id}/resume", responses=documented(404, 409))
def resume_job(job_id: JobId, here: Here, caller: Submitter) -> Done:
    """Go on."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    changed = ledger.resume_job(here.database, job.id, actor=caller.name)
    return Done(job=job.id, changed=changed, state=job.state)


@router.post("/{job_id}/retry", status_code=202, responses=documented(404, 409, 413))
def retry_job(job_id: JobId, body: RetryIn, here: Here, caller: Submitter) -> Done:
    """Try the images with these statuses again, and every shard that was given up. The history is kept."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    statuses = tuple(ImageStatus(each) for each in body.statuses)
    retried = ledger.retry_job(here.database, job.id, statuses, actor=caller.name)
    return Done(job=job.id, changed=True, state=retried.state)


@router.put("/{job_id}/priority", responses=documented(404, 413))
def set_priority(job_id: JobId, body: PriorityIn, here: Here, caller: Submitter) -> Done:
    """Change the priority; it counts from the next shard on."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    ledger.set_priority(here.database, job.id, body.priority, actor=caller.name)
    return Done(job=job.id, changed=job.priority != body.priority, state=job.state)


@router.delete("/{job_id}/data", responses=documented(404, 409))
def delete_job(job_id: JobId, here: Here, caller: Submitter) -> Done:
    """Delete an ended job: its rows, parts, pictures and uploads. The audit keeps that it existed."""
    job = the_job(here, job_id)
    caller.require_owner(job.owner)
    deleted = ledger.delete_job(here.database, job.id, actor=caller.name)
    spec = str(job.config.get("dataset", {}).get("spec", ""))
    sent = (f"{UPLOADS}{spec.removeprefix(UPLOAD)}/",) if spec.startswith(UPLOAD) else ()
    delete_objects(here.bucket, (*deleted.prefixes, *sent))
    return Done(job=job.id, changed=True, state="deleted")


@router.get("/{job_id}/beside", responses=documented(404))
def list_beside(job_id: JobId, here: Here, caller: Reader) -> BesideOut:
    """Methods this job can be compared with, and the other jobs over its dataset."""
    methods, others = comparison.companions(here.database, the_job(here, job_id))
    progress = queries.jobs_progress(here.database, [job.id for job in others]) if others else []
    shown = {job.id: JobOut.of(job, each) for job, each in zip(others, progress, strict=True)}
    return BesideOut(
        methods=[
            MethodOut(
                method=each.method, own=each.own, reason=each.reason, job=shown[each.job.id] if each.job else None
            )
            for each in methods
        ],
        jobs=list(shown.values()),
    )  # fmt: skip


@router.post(
    "/{job_id}/beside",
    status_code=201,
    responses=documented(404, 409, 413, also={200: {"model": SubmittedOut}}),
)
def compare_job(
    job_id: JobId, body: BesideIn, here: Here, caller: Submitter, response: Response
) -> SubmittedOut:
    """Explain the same images with another method, to stand beside this job. 200 with the job that does so already."""
    job = the_job(here, job_id)
    request = comparison.request_for(here.database, job, body.method, caller.name)
    methods, _ = comparison.companions(here.database, job)
    (known,) = (each for each in methods if each.method == body.method)
    if known.own:
        raise Refused(422, f"job {job.id} itself is by {body.method}", "Choose another method.")
    if known.job is not None:
        response.status_code = 200
        reason = f"{known.job.id} explains these images with {body.method}"
        return SubmittedOut(job=detail(here, known.job), created=False, reason=reason)
    _within_limits(here, caller, request.dataset)
    submitted = submit(here.database, here.settings, request)
    made = queries.get_job(here.database, submitted.job_id)
    response.headers["Location"] = f"/v1/jobs/{made.id}"
    return SubmittedOut(job=detail(here, made), created=submitted.created, reason=submitted.reason)


@router.get("/{job_id}/shards", responses=documented(404))
def list_shards(
    job_id: JobId,
    here: Here,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Limit = 200,
) -> Page[ShardOut]:
    """The stretches of the listing that workers lease, in order."""
    job = the_job(here, job_id)
    place = decode_cursor(after, (int,), (int,)) if after is not None else None
    found = queries.list_shards(here.database, job.id, limit=limit, after=place)
    items = [
        ShardOut(**{k: row[k] for k in ShardOut.model_fields if k != "images"}, images=_counts(row))
        for row in found
    ]
    more = encode_cursor([found[-1]["generation"], found[-1]["start"]]) if len(found) == limit else None
    return Page(items=items, next=more)


def _counts(row: dict[str, Any]) -> dict[str, int]:
    return {status.value: row[f"n_{status}"] for status in ImageStatus if row[f"n_{status}"]}


@router.get("/{job_id}/failures", responses=documented(404))
def list_failures(job_id: JobId, here: Here, caller: Reader) -> list[FailureOut]:
    """What went wrong, by class, most frequent first."""
    job = the_job(here, job_id)
    return [FailureOut(**row) for row in queries.failures(here.database, job.id)]


@router.get("/{job_id}/incidents", responses=documented(404))
def list_incidents(job_id: JobId, here: Here, caller: Reader, limit: Limit = 200) -> list[dict[str, Any]]:
    """Deaths of workers, shards given back and convictions, newest first."""
    job = the_job(here, job_id)
    return queries.list_incidents(here.database, job.id, limit=limit)


@router.get("/{job_id}/config", responses=documented(404))
def export_config(job_id: JobId, here: Here, caller: Reader, response: Response) -> dict[str, Any]:
    """The frozen configuration with everything that decides what comes out, and its digests: to be archived."""
    job = the_job(here, job_id)
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
