"""Schedules: jobs that are submitted at the times of a cron line."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.job_schemas import JobIn
from gfi.api.lookup import job_request
from gfi.api.problems import documented
from gfi.api.schemas import In, Text
from gfi.api.webhook_addresses import check as check_address
from gfi.jobs import schedules
from gfi.store.errors import NotFound

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class ScheduleIn(In):
    """A job to be submitted at the times of a cron line."""

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
        """From a stored schedule. The address of a webhook may contain a secret and is not shown."""
        request = dict(schedule.request)
        has_webhook = request.pop("webhook", None) is not None
        fields = {name: getattr(schedule, name) for name in cls.model_fields if hasattr(schedule, name)}
        return cls(**fields | {"request": request, "has_webhook": has_webhook})


@router.get("/schedules", tags=["schedules"], responses=documented())
def list_schedules(context: ContextDep, caller: Reader) -> list[ScheduleOut]:
    """Schedules, ordered by name."""
    return [ScheduleOut.of(schedule) for schedule in schedules.list_schedules(context.database)]


@router.post("/schedules", tags=["schedules"], status_code=201, responses=documented(409, 413))
def add_schedule(body: ScheduleIn, context: ContextDep, caller: Submitter) -> ScheduleOut:
    """Add a schedule. Each firing is a job of its own; its webhook, if any, is called when that job ends."""
    if body.job.webhook is not None:
        check_address(body.job.webhook, context.api)
    request = job_request(context, body.job, caller.name)
    schedule = schedules.add_schedule(
        context.database, context.settings, body.name, body.cron, body.zone, request, actor=caller.name
    )
    return ScheduleOut.of(schedule)


@router.delete("/schedules/{name}", tags=["schedules"], status_code=204, responses=documented(404))
def remove_schedule(
    name: Annotated[str, Path(min_length=1, max_length=100)], context: ContextDep, caller: Submitter
) -> None:
    """Remove a schedule; the jobs it has submitted stay."""
    named = [known for known in schedules.list_schedules(context.database) if name in (known.name, known.id)]
    if not named:
        raise NotFound(f"no schedule {name!r}; GET /v1/schedules lists them")
    caller.require_owner(str(named[0].request.get("owner", "")))
    schedules.remove_schedule(context.database, name, actor=caller.name)
