"""Transfer between two finished jobs: does the second model answer as well when it is shown the first one's masks?"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import Limit
from gfi.api.problems import documented
from gfi.api.schemas import In, Name, Text
from gfi.domain.states import ControlKind, ShardState
from gfi.jobs import transfer
from gfi.store import queries

router = APIRouter(prefix="/v1/transfers", tags=["comparisons"], route_class=StrictRoute)
TransferId = Annotated[str, Path(min_length=1, max_length=64)]
_Job = Annotated[Text, Field(min_length=1, max_length=64)]


class TransferIn(In):
    """Show the model of job `b` the masks of job `a`."""

    a: _Job
    b: _Job
    floor: list[_Job] = Field(
        default_factory=list,
        max_length=32,
        description="Other training runs of a's recipe: measured among themselves and a, to stand beside it.",
    )
    images: int = Field(transfer.IMAGES, ge=1, le=transfer.MOST_IMAGES, description="The size of the sample.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of the sample.")


class TransferOut(BaseModel):
    """A transfer. `result`: once it is done, the numbers of the compared pair and of the floor's pairs (mean change of
    the log-odds with its 95 % bounds, by class too), and `sentences`."""

    id: str
    url: str
    a: str
    b: str
    floor: list[str]
    images: int
    seed: int
    state: ShardState
    reason: str | None = Field(description="Why it failed, or why it waits for another attempt.")
    created_at: float
    done_at: float | None
    result: dict[str, Any] | None

    @classmethod
    def of(cls, task: queries.Task) -> "TransferOut":
        """From its task."""
        return cls(
            **{name: getattr(task, name) for name in ("id", "state", "reason", "created_at", "done_at")},
            url=f"/v1/transfers/{task.id}",
            **{name: task.payload[name] for name in ("a", "b", "floor", "images", "seed")},
            result=task.result,
        )


@router.post("", status_code=202, responses=documented(404, 409, 413))
def request_transfer(
    body: TransferIn, context: ContextDep, caller: Submitter, response: Response
) -> TransferOut:
    """Measure a transfer; a worker asks the networks. The same request again returns the one that is under way."""
    task_id = transfer.request_transfer(
        context.database,
        body.a,
        body.b,
        floor_jobs=body.floor,
        images=body.images,
        seed=body.seed,
        owner=caller.name,
    )
    response.headers["Location"] = f"/v1/transfers/{task_id}"
    return TransferOut.of(queries.get_task(context.database, task_id))


@router.get("", responses=documented())
def list_transfers(
    context: ContextDep,
    caller: Reader,
    job: Annotated[Name | None, Query(description="Only those of which this is job b.")] = None,
    limit: Limit = 50,
) -> list[TransferOut]:
    """Transfers, newest first."""
    tasks = queries.list_tasks(context.database, kind=ControlKind.TRANSFER, job_id=job, limit=limit)
    return [TransferOut.of(task) for task in tasks]


@router.get("/{transfer_id}", responses=documented(404))
def get_transfer(transfer_id: TransferId, context: ContextDep, caller: Reader) -> TransferOut:
    """One transfer, with its result when it is done."""
    return TransferOut.of(transfer.transfer_task(context.database, transfer_id))
