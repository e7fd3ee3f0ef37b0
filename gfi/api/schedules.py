"""Schedules: jobs that are submitted at the times of a cron line or at an interval."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from gfi.api.access import Caller, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.job_schemas import JobIn
from gfi.api.lookup import job_request
from gfi.api.problems import documented
from gfi.api.schemas import GateName, In, Name, Text
from gfi.drift.gate import GATE
from gfi.jobs import class_history, schedules, timing
from gfi.jobs.follow_ups import FOLLOW_UPS, MOST_RUNS, PREVIOUS
from gfi.jobs.notify_addresses import check_addresses

router = APIRouter(prefix="/v1", route_class=StrictRoute)
ScheduleName = Annotated[
    str, Path(min_length=1, max_length=100, description="The name or the id of a schedule.")
]
_OPTIONS = ("trigger", "settle", "misfire", "misfire_most", "overlap", "whole", *FOLLOW_UPS)


_Cron = Annotated[Text, Field(min_length=1, max_length=200)]
_Every = Annotated[Text, Field(max_length=50)]
_Zone = Annotated[Text, Field(max_length=100)]
_Most = Annotated[int, Field(ge=1, le=timing.MOST_MISSED)]


class AuditAfter(In):
    """The audit that follows each job of a schedule."""

    classes: list[Name] = Field(
        default=[], max_length=1000, description="Test candidates of these classes only; none: of all."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Of every draw.")


class CompareAfter(In):
    """The comparison that follows each job of a schedule."""

    with_: Name = Field(
        default=PREVIOUS,
        alias="with",
        description="`previous`: the schedule's job before; or the id of a job, a baseline.",
    )
    floor: list[Name] = Field(default=[], max_length=32, description="Other training runs: the noise floor.")
    gate: Annotated[Text, Field(max_length=100_000)] | None = Field(
        None, description="The text of a gate file; `gfi gate init` writes one."
    )
    gate_name: GateName = GATE


class NotifyAfter(In):
    """The message that follows each job of a schedule."""

    verdicts: list[Literal["pass", "fail", "undecided"]] = Field(
        default=["pass", "fail", "undecided"], min_length=1, max_length=3, description="Of the gate."
    )


class KeepAfter(In):
    """Which jobs of a schedule stay when a later one has ended."""

    runs: int = Field(30, ge=1, le=MOST_RUNS, description="The newest jobs with results.")
    flagged: bool = Field(True, description="And every job with a flagged image.")


class ScheduleIn(In):
    """A job to be submitted at the times of a cron line or at an interval: either `cron` or `every`."""

    name: Annotated[Text, Field(min_length=1, max_length=100)]
    cron: _Cron | None = Field(None, examples=["0 2 * * *"])
    every: _Every | None = Field(None, description="An interval: 90s, 15m, 6h, 1d.")
    zone: _Zone = "UTC"
    trigger: timing.Trigger = Field(
        "time",
        description="model: submit only if the weights are others; data: only if the dataset's listing is another one.",
    )
    settle: _Every = Field(
        "60s", description="With the trigger `data`: how long a changed listing must stay the same."
    )
    misfire: timing.Misfire = Field(
        "latest", description="After an outage: the latest missed firing, none, or the last `misfire_most`."
    )
    misfire_most: _Most = 1
    overlap: timing.Overlap = Field(
        "skip", description="While an earlier job is active: no job, wait for its end, or cancel it."
    )
    whole: bool = Field(
        False, description="Explain everything each time, not only what changed since the last finished job."
    )
    audit: bool | AuditAfter = Field(False, description="Audit each job once it has ended.")
    compare: bool | CompareAfter = Field(
        False, description="Compare each job, and judge by a gate, once it and its audit have ended."
    )
    notify: bool | NotifyAfter = Field(
        False, description="Tell the job's webhook and e-mail about audit and gate, in one message each."
    )
    keep: bool | KeepAfter = Field(
        False, description="Then delete older jobs, but for those that something refers to."
    )
    job: JobIn


class ScheduleChange(In):
    """What is to be changed of a schedule. `paused`: it does not fire, and makes up for nothing when it is resumed.
    `compare`: what its table leaves out stays as it is."""

    cron: _Cron | None = None
    every: _Every | None = None
    zone: _Zone | None = None
    paused: bool | None = None
    trigger: timing.Trigger | None = None
    settle: _Every | None = None
    misfire: timing.Misfire | None = None
    misfire_most: _Most | None = None
    overlap: timing.Overlap | None = None
    whole: bool | None = None
    audit: bool | AuditAfter | None = None
    compare: bool | CompareAfter | None = None
    notify: bool | NotifyAfter | None = None
    keep: bool | KeepAfter | None = None
    job: JobIn | None = None


class FiringOut(BaseModel):
    """A firing. `due`: the instant in UTC, or now-… where a person fired it. `reason`: why it has no job. `waiting`:
    for an earlier job to end. `followed`: what became of each follow-up, by name: an `audit`, a `comparison` or the
    `task` that deletes, with `state` and `verdict` in words; the number of `messages`; or the `reason` why there is
    none.
    """

    due: str
    job: str | None
    state: str | None
    reason: str | None
    waiting: bool
    at: float
    followed: dict[str, dict[str, Any]]


class ClassRunOut(BaseModel):
    """A class in one run of a schedule. `means`: of each number, over `explained` images. Against the run before, where
    one was compared: `pairs` of masks, `moved` of them (null without a floor), and `flips` of `compared` images.
    `verdict`: of the run's gate."""

    job: str
    at: float
    images: int
    explained: int = Field(description="Images with status `ok`.")
    accuracy: float | None = Field(description="Null without labels.")
    means: dict[str, float]
    pairs: int | None
    moved: int | None
    compared: int | None
    flips: int | None
    verdict: str | None


class RunOut(BaseModel):
    """The job of a firing, or the reason why it has none; neither while it waits for an earlier job."""

    job: str | None
    reason: str | None


class ScheduleOut(BaseModel):
    """A schedule and when it is next due."""

    id: str
    name: str
    cron: str
    zone: str
    every_s: float | None
    trigger: str
    settle_s: float
    watched: dict[str, Any] | None = Field(
        description="With the trigger `data`: the last listing that was seen, and the one that fired last."
    )
    misfire: str
    misfire_most: int
    overlap: str
    whole: bool
    paused: bool
    upcoming: list[float] = Field(description="Its next five firings, in seconds since 1970.")
    request: dict[str, Any]
    follow_ups: dict[str, dict[str, Any]] = Field(description="What follows each job, by name: its settings.")
    created_at: float
    next_at: float | None
    has_webhook: bool
    has_email: bool

    @classmethod
    def of(cls, schedule: schedules.Schedule) -> "ScheduleOut":
        """From a stored schedule. The address of a webhook may contain a secret, so addresses are not shown."""
        request = dict(schedule.request)
        has_webhook = request.pop("webhook", None) is not None
        has_email = request.pop("email", None) is not None
        fields = {name: getattr(schedule, name) for name in cls.model_fields if hasattr(schedule, name)}
        return cls(**fields | {"request": request, "has_webhook": has_webhook, "has_email": has_email})


@router.get("/schedules", tags=["schedules"], responses=documented())
def list_schedules(context: ContextDep, caller: Reader) -> list[ScheduleOut]:
    """Schedules, ordered by name."""
    return [ScheduleOut.of(schedule) for schedule in schedules.list_schedules(context.database)]


@router.post("/schedules", tags=["schedules"], status_code=201, responses=documented(409, 413))
def add_schedule(body: ScheduleIn, context: ContextDep, caller: Submitter) -> ScheduleOut:
    """Add a schedule. Each firing is a job of its own; its webhook, if any, is called when that job ends."""
    check_addresses(body.job, context.api)
    request = job_request(context, body.job, caller.name)
    schedule = schedules.add_schedule(
        context.database,
        context.settings,
        body.name,
        body.cron,
        body.zone,
        request,
        every=body.every,
        actor=caller.name,
        **_options(body),
    )
    return ScheduleOut.of(schedule)


@router.patch("/schedules/{name}", tags=["schedules"], responses=documented(404, 413))
def change_schedule(
    name: ScheduleName, body: ScheduleChange, context: ContextDep, caller: Submitter
) -> ScheduleOut:
    """Change a schedule: its times, pause and resume, what its jobs are."""
    schedule = _own(context, caller, name)
    request = None
    if body.job is not None:
        check_addresses(body.job, context.api)
        request = job_request(context, body.job, str(schedule.request.get("owner", "")))
    changed = schedules.change_schedule(
        context.database,
        context.settings,
        schedule.id,
        actor=caller.name,
        cron=body.cron,
        every=body.every,
        zone=body.zone,
        paused=body.paused,
        request=request,
        **_options(body),
    )
    return ScheduleOut.of(changed)


@router.post("/schedules/{name}/run", tags=["schedules"], status_code=202, responses=documented(404))
def run_schedule(
    name: ScheduleName,
    context: ContextDep,
    caller: Submitter,
    allow_shrunk: Annotated[
        bool, Query(description="Also if the dataset lost more than half of its images.")
    ] = False,
) -> RunOut:
    """Fire a schedule now."""
    schedule = _own(context, caller, name)
    run = schedules.run_now(
        context.database, context.settings, schedule.id, allow_shrunk=allow_shrunk, actor=caller.name
    )
    return RunOut(**run)


@router.get("/schedules/{name}/firings", tags=["schedules"], responses=documented(404))
def list_firings(
    name: ScheduleName, context: ContextDep, caller: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> list[FiringOut]:
    """The last firings, newest first: each with its job or the reason why it has none."""
    return [
        FiringOut(
            due=row["firing_key"],
            job=row["job_id"],
            state=row["state"],
            reason=row["error"],
            waiting=row["waiting"],
            at=row["at"],
            followed=row["followed"],
        )
        for row in schedules.firings_of(context.database, name, limit)
    ]


@router.get("/schedules/{name}/class-history", tags=["schedules"], responses=documented(404))
def list_class_runs(
    name: ScheduleName,
    context: ContextDep,
    caller: Reader,
    class_name: Annotated[
        Name, Query(alias="class", description="A label, or the name or index of a class.")
    ],
    runs: Annotated[int, Query(ge=1, le=class_history.MOST_RUNS)] = class_history.RUNS,
) -> list[ClassRunOut]:
    """A class over the last runs with results, oldest first."""
    schedule = schedules.find_schedule(context.database, name)
    found = class_history.class_history(context.database, context.bucket, schedule.id, class_name, runs)
    return [ClassRunOut(**run.to_json()) for run in found]


@router.delete("/schedules/{name}", tags=["schedules"], status_code=204, responses=documented(404))
def remove_schedule(name: ScheduleName, context: ContextDep, caller: Submitter) -> None:
    """Remove a schedule; the jobs it has submitted stay."""
    _own(context, caller, name)
    schedules.remove_schedule(context.database, name, actor=caller.name)


def _options(body: ScheduleIn | ScheduleChange) -> dict[str, Any]:
    values = {name: getattr(body, name) for name in _OPTIONS}
    return {
        # What was given: the rest are defaults, or in `compare` of a change what is stored.
        name: value.model_dump(by_alias=True, exclude_unset=True) if isinstance(value, In) else value
        for name, value in values.items()
    }


def _own(context: Context, caller: Caller, name: str) -> schedules.Schedule:
    """A schedule that the caller may change."""
    schedule = schedules.find_schedule(context.database, name)
    caller.require_owner(str(schedule.request.get("owner", "")))
    return schedule
