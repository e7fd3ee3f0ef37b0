"""Audits of a job's masks: what a model looks at, tested on its images. (The log of actions is `gfi.api.audit`.)"""

import base64
import binascii
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from gfi.api.access import Caller, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.job_schemas import JobIn
from gfi.api.lookup import IdempotencyKey, JobId, Limit, find_job, job_request
from gfi.api.problems import Refused, documented
from gfi.api.schemas import LARGEST, Finite, In, Name, Text
from gfi.api.tasks import TaskOut
from gfi.audit.sequential import SequentialSettings
from gfi.audit.settings import FIRST_SAMPLE
from gfi.domain.states import AuditState
from gfi.jobs.audits import request as audits
from gfi.jobs.audits.pictures import picture_key
from gfi.jobs.notify_addresses import check_addresses
from gfi.store import ledger, queries
from gfi.store.errors import NotFound
from gfi.store.queries import Audit

router = APIRouter(tags=["audits"], route_class=StrictRoute)
AuditId = Annotated[str, Path(min_length=1, max_length=64, description="The id of an audit.")]
FindingId = Annotated[str, Path(min_length=1, max_length=64, description="The id of a finding.")]
_PICTURE = re.compile(r"[1-9]\.jpg|crop\.png")
_PATCH = (audits.LARGEST_PATCH * 4 + 2) // 3 + 4


class AuditIn(In):
    """What is to be audited."""

    dry_run: bool = Field(False, description="Screen only, and say what testing the candidates takes.")
    classes: list[Name] = Field(
        default=[], max_length=1000, description="Test candidates of these classes only; none: of all."
    )
    patch: Text | None = Field(
        None,
        max_length=_PATCH,
        description="A PNG or JPEG of a mark in base64: the hypothesis that it leads to the one class named.",
    )
    seed: int = Field(0, ge=0, le=LARGEST, description="Of every draw.")
    training: Name | None = Field(
        None,
        description="The id of a job over the images that the model was trained on, with labels: the pixels of "
        "shortcuts are looked for in them. Its masks are not needed.",
    )


class AuditUntilSettledIn(In):
    """A job that explains a sample of a dataset, then more of it until every class of its audit is settled."""

    job: JobIn = Field(description="The options of the job: the dataset, the model …")
    classes: list[Name] = Field(
        default=[], max_length=1000, description="Test candidates of these classes only; none: of all."
    )
    seed: int = Field(0, ge=0, le=LARGEST, description="Of every draw.")
    first: int = Field(
        FIRST_SAMPLE, ge=20, le=10_000, description="Images of each class on which candidates are fixed."
    )
    margin: Finite = Field(
        SequentialSettings.margin,
        gt=SequentialSettings.least_effect,
        le=1,
        description="A class without an effect of this change of probability is settled as having none.",
    )
    after: Annotated[Text, Field(min_length=1, max_length=64)] | None = Field(
        None,
        description="An audit until settled of the same question that has ended, of the caller, of whose job the caller"
        " is the owner, or any for an administrator: its candidates go on with their evidence.",
    )


class AuditOut(BaseModel):
    """An audit. `url`: where to ask for it again."""

    id: str
    url: str
    job_id: str
    owner: str
    state: AuditState
    reason: str | None = Field(description="Why its task failed or waits.")
    progress: dict[str, Any] | None
    task_id: str | None
    settings: dict[str, Any]
    settings_digest: str
    options: dict[str, Any]
    plan: dict[str, Any] | None = Field(
        description="What testing takes, at most: candidates, answers of the network, seconds on a device where known."
    )
    summary: dict[str, Any] | None = Field(
        description="Counts, notes and detection limits; null until it is done."
    )
    created_at: float
    screened_at: float | None
    done_at: float | None

    @classmethod
    def of(cls, audit: Audit) -> "AuditOut":
        """From the ledger."""
        return cls(url=f"/v1/audits/{audit.id}", **_known(cls, audit.to_json()))


class FindingOut(BaseModel):
    """A finding. `id`: the same in every audit that finds it. `record`: place, numbers, pictures and affected rows."""

    id: str
    position: int
    class_index: int | None
    class_name: str
    kind: str
    verdict: str
    history: str
    sentence: str
    record: dict[str, Any]
    accepted: bool
    dismissed: str
    note: str
    assignee: str
    decided_by: str
    decided_at: float | None


class AuditDetail(AuditOut):
    """An audit with its findings, in the order of their weight."""

    findings: list[FindingOut]


class RequestedAudit(BaseModel):
    """created: false where an audit that is the same is under way."""

    audit: AuditOut
    created: bool


class FindingPatch(In):
    """What people decide about a finding. Fields that are left out stay as they are."""

    accepted: bool | None = None
    dismissed: Text | None = Field(None, max_length=1000, description="The reason; empty takes it back.")
    note: Text | None = Field(None, max_length=4000)
    assignee: Name | None = None


class VerificationIn(In):
    """How much is explained again."""

    share: Finite = Field(
        0.01, gt=0, le=1, description="Of the job's images; at least 8 and at most 1,000 images."
    )


def _known(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in model.model_fields}


_REQUESTED: dict[int | str, dict[str, Any]] = documented(404, 409, 413, also={200: {"model": RequestedAudit}})


@router.post("/v1/jobs/{job_id}/audit", status_code=202, responses=_REQUESTED)
def audit_job(
    job_id: JobId, body: AuditIn, context: ContextDep, caller: Submitter, response: Response
) -> RequestedAudit:
    """Audit the masks of a job that has ended. 202 with the new audit, or 200 with one that is under way."""
    job = find_job(context, job_id)
    patch = None
    if body.patch is not None:
        try:
            patch = base64.b64decode(body.patch, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(422, "`patch` is not base64") from None
    training = None if body.training is None else find_job(context, body.training).id
    request = audits.AuditRequest(body.dry_run, tuple(body.classes), patch, body.seed, training)
    audit_id, created = audits.request_audit(context.database, context.bucket, job, request, caller.name)
    response.status_code = 202 if created else 200
    response.headers["Location"] = f"/v1/audits/{audit_id}"
    return RequestedAudit(audit=AuditOut.of(queries.get_audit(context.database, audit_id)), created=created)


@router.post("/v1/audits", status_code=202, responses=_REQUESTED)
def audit_until_settled(
    body: AuditUntilSettledIn,
    context: ContextDep,
    caller: Submitter,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RequestedAudit:
    """Submit a dataset to be audited until settled. 202 with the new audit, or 200 with one that is under way."""
    check_addresses(body.job, context.api)
    after = None if body.after is None else _own(context, body.after, caller).id
    audit_id, created = audits.submit_until_settled(
        context.database,
        context.settings,
        job_request(context, body.job, caller.name),
        audits.SettlingRequest(tuple(body.classes), body.seed, body.first, body.margin, after),
        idempotency_key=idempotency_key,
        new=body.job.new,
    )
    response.status_code = 202 if created else 200
    response.headers["Location"] = f"/v1/audits/{audit_id}"
    return RequestedAudit(audit=AuditOut.of(queries.get_audit(context.database, audit_id)), created=created)


@router.get("/v1/audits")
def newest_audits(context: ContextDep, caller: Reader, limit: Limit = 50) -> list[AuditOut]:
    """The audits of all jobs, newest first."""
    return [AuditOut.of(audit) for audit in queries.list_audits(context.database, None, limit)]


@router.get("/v1/jobs/{job_id}/audits", responses=documented(404))
def list_audits(job_id: JobId, context: ContextDep, caller: Reader) -> list[AuditOut]:
    """The audits of a job, newest first."""
    job = find_job(context, job_id)
    return [AuditOut.of(audit) for audit in queries.list_audits(context.database, job.id)]


@router.get("/v1/audits/{audit_id}", responses=documented(404))
def get_audit(audit_id: AuditId, context: ContextDep, caller: Reader) -> AuditDetail:
    """One audit with its findings."""
    return _detail(context, _find(context, audit_id))


@router.post("/v1/audits/{audit_id}/confirm", status_code=202, responses=documented(404, 409, 413))
def confirm_audit(audit_id: AuditId, context: ContextDep, caller: Submitter) -> AuditOut:
    """Test the candidates of an audit that was only screened, failed or was cancelled."""
    audit = _own(context, audit_id, caller)
    ledger.confirm_audit(context.database, audit.id, actor=caller.name)
    return AuditOut.of(queries.get_audit(context.database, audit.id))


@router.delete("/v1/audits/{audit_id}", responses=documented(404, 409))
def cancel_audit(audit_id: AuditId, context: ContextDep, caller: Submitter) -> AuditOut:
    """Cancel an audit that is not done."""
    audit = _own(context, audit_id, caller)
    audits.cancel_audit(context.database, audit.id, caller.name)
    return AuditOut.of(queries.get_audit(context.database, audit.id))


@router.post("/v1/audits/{audit_id}/verify", status_code=202, responses=documented(404, 409, 413))
def verify_audit(audit_id: AuditId, body: VerificationIn, context: ContextDep, caller: Submitter) -> TaskOut:
    """Explain a sample of the images again, and compare the masks bit by bit. The result is in the task."""
    audit = _own(context, audit_id, caller)
    task_id = audits.request_verification(context.database, audit.id, body.share, caller.name)
    return TaskOut.of(queries.get_task(context.database, task_id))


@router.patch("/v1/audits/{audit_id}/findings/{finding_id}", responses=documented(404, 413))
def decide_finding(
    audit_id: AuditId, finding_id: FindingId, body: FindingPatch, context: ContextDep, caller: Submitter
) -> FindingOut:
    """Accept a finding, dismiss it with a reason, note or assign it."""
    audit = _own(context, audit_id, caller)
    changes = body.model_dump(exclude_none=True)
    queries.get_finding(context.database, audit.id, finding_id)
    if changes:
        audits.decide(context.database, context.bucket, audit.id, finding_id, changes, caller.name)
    return FindingOut(**queries.get_finding(context.database, audit.id, finding_id).to_json())


_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")
        }
    }
}


@router.get(
    "/v1/audits/{audit_id}/findings/{finding_id}/pictures/{name}",
    response_class=Response,
    responses=documented(404, also=_BYTES),
)
def finding_picture(
    audit_id: AuditId,
    finding_id: FindingId,
    name: Annotated[str, Path(max_length=20)],
    context: ContextDep,
    caller: Reader,
) -> Response:
    """A picture of a finding: `1.jpg` to `6.jpg`, images with the place outlined, or `crop.png`."""
    audit = _find(context, audit_id)
    finding = queries.get_finding(context.database, audit.id, finding_id)
    if not _PICTURE.fullmatch(name):
        raise NotFound(f"a finding has no picture {name}")
    data = context.bucket.get(picture_key(audit, finding.id, finding.record, name))
    kind = "image/png" if name.endswith(".png") else "image/jpeg"
    return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})


def _find(context: Context, audit_id: str) -> Audit:
    """The audit with exactly this id."""
    audit = queries.get_audit(context.database, audit_id)
    if audit.id != audit_id:
        raise NotFound(f"no audit {audit_id}; GET /v1/jobs/ID/audits lists those of a job")
    return audit


def _own(context: Context, audit_id: str, caller: Caller) -> Audit:
    """The audit, which only its owner, the job's, or an administrator may change."""
    audit = _find(context, audit_id)
    if audit.owner != caller.name:
        caller.require_owner(queries.get_job(context.database, audit.job_id).owner)
    return audit


def _detail(context: Context, audit: Audit) -> AuditDetail:
    found = queries.list_findings(context.database, audit.id)
    return AuditDetail(
        **AuditOut.of(audit).model_dump(), findings=[FindingOut(**finding.to_json()) for finding in found]
    )
