"""What an operator looks after: schedules, workers, queues, tokens, the audit; and who one is oneself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from gfi.api import webhooks
from gfi.api.access import Admin, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Here
from gfi.api.jobs import resolved
from gfi.api.problems import Refused, documented
from gfi.api.schemas import LARGEST, In, JobIn, Page, Text, decode_cursor, encode_cursor
from gfi.jobs import schedules
from gfi.store import ledger, queries
from gfi.store.access import create_token, people
from gfi.store.errors import NotFound

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class MeOut(BaseModel):
    """Who calls. `csrf`: what a browser sends as X-GFI-CSRF."""

    id: str
    name: str
    scopes: list[str]
    limits: dict[str, Any]
    csrf: str | None


@router.get("/me", tags=["tokens"], responses=documented())
def who_am_i(caller: Reader) -> MeOut:
    """Whose token this is."""
    scopes = sorted(each for each in ("admin", "submit", "read") if caller.may(each))
    return MeOut(id=caller.id, name=caller.name, scopes=scopes, limits=caller.limits, csrf=caller.csrf)


class ScheduleIn(In):
    """A job by the calendar."""

    name: Annotated[Text, Field(min_length=1, max_length=100)]
    cron: Annotated[Text, Field(min_length=1, max_length=200)] = Field(examples=["0 2 * * *"])
    zone: Annotated[Text, Field(max_length=100)] = "UTC"
    job: JobIn


class ScheduleOut(BaseModel):
    """A schedule and when it is next due."""

    id: str
    name: str
    cron: str
    zone: str
    paused: bool
    request: dict[str, Any]
    created_at: float
    next_at: float | None
    has_webhook: bool

    @classmethod
    def of(cls, schedule: schedules.Schedule) -> "ScheduleOut":
        """From the scheduler's. A webhook's address may hold a secret: it is shown to nobody."""
        request = dict(schedule.request)
        told = request.pop("webhook", None) is not None
        same = {name: getattr(schedule, name) for name in cls.model_fields if hasattr(schedule, name)}
        return cls(**same | {"request": request, "has_webhook": told})


@router.get("/schedules", tags=["schedules"], responses=documented())
def list_schedules(here: Here, caller: Reader) -> list[ScheduleOut]:
    """Schedules by name."""
    return [ScheduleOut.of(each) for each in schedules.listed(here.database)]


@router.post("/schedules", tags=["schedules"], status_code=201, responses=documented(409, 413))
def add_schedule(body: ScheduleIn, here: Here, caller: Submitter) -> ScheduleOut:
    """Submit this job at these times; each firing is a job of its own and tells the webhook, if there is one."""
    if body.job.webhook is not None:
        webhooks.check(body.job.webhook, here.api)
    made = schedules.add(
        here.database, here.settings, body.name, body.cron, body.zone,
        resolved(here, body.job, caller.name), actor=caller.name,
    )  # fmt: skip
    return ScheduleOut.of(made)


@router.delete("/schedules/{name}", tags=["schedules"], status_code=204, responses=documented(404))
def remove_schedule(
    name: Annotated[str, Path(min_length=1, max_length=100)], here: Here, caller: Submitter
) -> None:
    """Remove a schedule; the jobs it started stay."""
    found = [each for each in schedules.listed(here.database) if name in (each.name, each.id)]
    if not found:
        raise NotFound(f"no schedule {name!r}; GET /v1/schedules lists them")
    caller.require_owner(str(found[0].request.get("owner", "")))
    schedules.remove(here.database, name, actor=caller.name)


class WorkerOut(BaseModel):
    """A worker as its last heartbeat showed it, `silent_s` seconds ago."""

    id: str
    host: str | None
    pid: int | None
    device: str | None
    queues: list[str] | None
    version: str | None
    state: str | None
    rate: float | None
    memory_mib: float | None
    shard_id: str | None
    job_id: str | None = Field(description="Whose shard that is.")
    job_name: str | None
    clock_skew_s: float | None
    started_at: float
    seen_at: float
    silent_s: float
    alive: bool


@router.get("/workers", tags=["workers"], responses=documented())
def list_workers(here: Here, caller: Reader) -> list[WorkerOut]:
    """Workers by name."""
    return [
        WorkerOut(**{name: getattr(each, name) for name in WorkerOut.model_fields})
        for each in queries.list_workers(here.database)
    ]


@router.get("/queues", tags=["workers"], responses=documented())
def list_queues(here: Here, caller: Reader) -> dict[str, dict[str, int]]:
    """What waits in each queue: pending, leased and delayed shards."""
    return queries.waiting(here.database)


class TokenLimits(In):
    """What a token may at most; absent: what the operator allows everyone."""

    requests_per_minute: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_body: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_images: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    max_active_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None


class TokenIn(In):
    """A token to be made."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Literal["read", "submit", "admin"]], Field(min_length=1, max_length=3)]
    expires_in_s: Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)] | None = None
    limits: TokenLimits = TokenLimits()


class TokenMade(BaseModel):
    """The token, shown this once."""

    id: str
    token: str


class TokenOut(BaseModel):
    """A token, without what identifies it."""

    id: str
    name: str
    scopes: list[str]
    limits: dict[str, Any] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None


@router.get("/tokens", tags=["tokens"], responses=documented())
def list_tokens(here: Here, caller: Admin) -> list[TokenOut]:
    """Tokens, newest first."""
    return [TokenOut(**each) for each in people(here.database)]


@router.post("/tokens", tags=["tokens"], status_code=201, responses=documented(409, 413))
def make_token(body: TokenIn, here: Here, caller: Admin) -> TokenMade:
    """Make a token. It is in this answer and nowhere else: only its hash is kept."""
    if not body.name.strip():
        raise Refused(422, "body.name: a token needs a name")
    made, plain = create_token(
        here.database,
        body.name,
        body.scopes,
        expires_in_s=body.expires_in_s,
        limits=body.limits.model_dump(exclude_none=True),
        actor=caller.name,
    )
    return TokenMade(id=made, token=plain)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204, responses=documented(404, 409))
def revoke_token(
    token_id: Annotated[str, Path(min_length=1, max_length=64)], here: Here, caller: Admin
) -> None:
    """Make a token worthless from now on; not the one that is calling."""
    if token_id == caller.id:
        raise Refused(
            409, "this is the token you are calling with", "Revoke it with another, or `gfi tokens`."
        )
    ledger.revoke_token(here.database, token_id, actor=caller.name)


class AuditOut(BaseModel):
    """Who did what to which job, with what."""

    id: str
    at: float
    actor: str
    action: str
    job_id: str | None
    details: dict[str, Any] | None


@router.get("/audit", tags=["audit"], responses=documented())
def list_audit(
    here: Here,
    caller: Admin,
    job: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[AuditOut]:
    """The audit, newest first."""
    last = decode_cursor(after, (str,))[0] if after is not None else None
    found = queries.list_audit(here.database, job_id=job, after=last, limit=limit)
    more = encode_cursor([found[-1]["id"]]) if len(found) == limit else None
    return Page(items=[AuditOut(**each) for each in found], next=more)
