"""Schedules: jobs by the calendar."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import documented
from gfi.api.requests import resolved
from gfi.api.schemas import In, JobIn, Text
from gfi.api.webhook_addresses import check as check_address
from gfi.jobs import schedules
from gfi.store.errors import NotFound

router = APIRouter(prefix="/v1", route_class=StrictRoute)


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
def list_schedules(context: ContextDep, caller: Reader) -> list[ScheduleOut]:
    """Schedules by name."""
    return [ScheduleOut.of(each) for each in schedules.list_schedules(context.database)]


@router.post("/schedules", tags=["schedules"], status_code=201, responses=documented(409, 413))
def add_schedule(body: ScheduleIn, context: ContextDep, caller: Submitter) -> ScheduleOut:
    """Submit this job at these times; each firing is a job of its own and tells the webhook, if there is one."""
    if body.job.webhook is not None:
        check_address(body.job.webhook, context.api)
    made = schedules.add_schedule(
        context.database, context.settings, body.name, body.cron, body.zone,
        resolved(context, body.job, caller.name), actor=caller.name,
    )  # fmt: skip
    return ScheduleOut.of(made)


@router.delete("/schedules/{name}", tags=["schedules"], status_code=204, responses=documented(404))
def remove_schedule(
    name: Annotated[str, Path(min_length=1, max_length=100)], context: ContextDep, caller: Submitter
) -> None:
    """Remove a schedule; the jobs it started stay."""
    found = [each for each in schedules.list_schedules(context.database) if name in (each.name, each.id)]
    if not found:
        raise NotFound(f"no schedule {name!r}; GET /v1/schedules lists them")
    caller.require_owner(str(found[0].request.get("owner", "")))
    schedules.remove_schedule(context.database, name, actor=caller.name)
