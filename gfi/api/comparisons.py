"""Comparisons of two finished jobs: which masks moved, and the verdict of a gate."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import Limit
from gfi.api.problems import documented
from gfi.api.schemas import GateName, In, Name, Text
from gfi.domain.states import ControlKind, ShardState
from gfi.drift.gate import GATE
from gfi.jobs import comparison_task
from gfi.store import queries

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"], route_class=StrictRoute)
ComparisonId = Annotated[str, Path(min_length=1, max_length=64)]
_Job = Annotated[Text, Field(min_length=1, max_length=64)]


class CompareIn(In):
    """Compare job `b` with job `a`."""

    a: _Job
    b: _Job
    floor: list[_Job] = Field(
        default_factory=list, max_length=32, description="Other training runs of a's recipe: the noise floor."
    )
    gate: Annotated[Text, Field(max_length=100_000)] | None = Field(
        None, description="The text of a gate file; `gfi gate init` writes one."
    )
    gate_name: GateName = GATE
    look: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="The number of this comparison in the year, for a gate with [nightly]. Default: the one that it"
        " has, or the next.",
    )


class CompareOut(BaseModel):
    """A comparison. `verdict`: of its gate, once it is done. `result`: all numbers and sentences, null until then and
    in lists."""

    id: str
    url: str
    a: str
    b: str
    floor: list[str]
    state: ShardState
    reason: str | None = Field(description="Why it failed, or why it waits for another attempt.")
    verdict: str | None
    created_at: float
    done_at: float | None
    result: dict[str, Any] | None

    @classmethod
    def of(cls, task: queries.Task, result: dict[str, Any] | None = None) -> "CompareOut":
        """From its task."""
        return cls(
            **{name: getattr(task, name) for name in ("id", "state", "reason", "created_at", "done_at")},
            url=f"/v1/comparisons/{task.id}",
            a=task.payload["a"],
            b=task.payload["b"],
            floor=task.payload["floor"],
            verdict=(task.result or {}).get("verdict"),
            result=result,
        )


@router.post("", status_code=202, responses=documented(404, 413))
def request_comparison(
    body: CompareIn, context: ContextDep, caller: Submitter, response: Response
) -> CompareOut:
    """Request a comparison; a control worker makes it. The same request again returns the one that is under way."""
    task_id, _ = comparison_task.request_comparison(
        context.database,
        body.a,
        body.b,
        floor_jobs=body.floor,
        gate=body.gate,
        gate_name=body.gate_name,
        look=body.look,
        owner=caller.name,
    )
    response.headers["Location"] = f"/v1/comparisons/{task_id}"
    return CompareOut.of(queries.get_task(context.database, task_id))


@router.get("", responses=documented())
def list_comparisons(
    context: ContextDep,
    caller: Reader,
    job: Annotated[Name | None, Query(description="Only those of which this is job b.")] = None,
    limit: Limit = 50,
) -> list[CompareOut]:
    """Comparisons, newest first, without their results."""
    tasks = queries.list_tasks(context.database, kind=ControlKind.COMPARE, job_id=job, limit=limit)
    return [CompareOut.of(task) for task in tasks]


@router.get("/{comparison_id}", responses=documented(404))
def get_comparison(comparison_id: ComparisonId, context: ContextDep, caller: Reader) -> CompareOut:
    """One comparison, with its result when it is done."""
    return CompareOut.of(*comparison_task.comparison_of(context.database, context.bucket, comparison_id))
