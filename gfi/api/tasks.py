"""Tasks: leased work other than shards, such as the registration of a model or the listing of a dataset."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import After, Limit
from gfi.api.problems import documented
from gfi.api.schemas import Name, Page, decode_cursor, encode_cursor
from gfi.domain.states import ShardState
from gfi.store import ledger, queries
from gfi.store.queries import Task

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=StrictRoute)
TaskId = Annotated[str, Path(min_length=1, max_length=64)]


class TaskOut(BaseModel):
    """A task. `url`: where to ask for it again."""

    id: str
    url: str
    kind: str
    state: ShardState
    job_id: str | None
    needs: str = Field(description="`network` for workers with torch, `none` for control workers.")
    queue: str
    owner: str
    priority: int
    estimate_s: float | None = Field(description="Expected seconds on a device; null if unknown.")
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    reason: str | None = Field(description="Why it failed, or why it waits for another attempt.")
    worker: str | None
    attempts: int
    deaths: int
    created_at: float
    leased_at: float | None
    done_at: float | None

    @classmethod
    def of(cls, task: Task) -> "TaskOut":
        """From a task of the ledger."""
        fields = {name: getattr(task, name) for name in cls.model_fields if name != "url"}
        return cls(url=f"/v1/tasks/{task.id}", **fields)


@router.get("", responses=documented())
def list_tasks(
    context: ContextDep,
    caller: Reader,
    state: ShardState | None = None,
    kind: Annotated[Name | None, Query()] = None,
    owner: Annotated[Name | None, Query()] = None,
    job: Annotated[Name | None, Query()] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[TaskOut]:
    """Tasks, newest first."""
    last = decode_cursor(after, (str,))[0] if after is not None else None
    tasks = queries.list_tasks(
        context.database, limit=limit, after=last, state=state, kind=kind, owner=owner, job_id=job
    )
    more = encode_cursor([tasks[-1].id]) if len(tasks) == limit else None
    return Page(items=[TaskOut.of(task) for task in tasks], next=more)


@router.get("/{task_id}", responses=documented(404))
def get_task(task_id: TaskId, context: ContextDep, caller: Reader) -> TaskOut:
    """One task."""
    return TaskOut.of(queries.get_task(context.database, task_id))


@router.delete("/{task_id}", responses=documented(404, 409))
def cancel_task(task_id: TaskId, context: ContextDep, caller: Submitter) -> TaskOut:
    """Cancel. Its worker stops within a second or two and writes nothing more."""
    caller.require_owner(queries.get_task(context.database, task_id).owner)
    ledger.cancel_task(context.database, task_id, actor=caller.name)
    return TaskOut.of(queries.get_task(context.database, task_id))


@router.post("/{task_id}/retry", status_code=202, responses=documented(404, 409))
def retry_task(task_id: TaskId, context: ContextDep, caller: Submitter) -> TaskOut:
    """Try a failed or cancelled task again, from the progress that was saved."""
    caller.require_owner(queries.get_task(context.database, task_id).owner)
    ledger.retry_task(context.database, task_id, actor=caller.name)
    return TaskOut.of(queries.get_task(context.database, task_id))
