"""Models: their records from registration, and registering one.

Registration needs torch, which this process never loads: a worker does it, as a task. The API waits for a while for its
end, and otherwise returns the task. A caller names a reference (torchvision:NAME, timm:NAME@seed:N, or the NAME of a
file that the operator put into the models folder), never a path and never code.
"""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from gfi.api.access import Admin, Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.schemas import In
from gfi.api.tasks import TaskOut
from gfi.domain.presets import DEFAULT_PRESET
from gfi.domain.states import ShardState
from gfi.jobs.registration import request_registration
from gfi.store import ledger, queries
from gfi.store.errors import NotFound
from gfi.store.queries import Model

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)
REFERENCE = r"^(?:(?:torchvision|timm):)?[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:@seed:[0-9]{1,9})?$"
WAIT_S = 30.0
LONGEST_WAIT_S = 300.0
POLL_S = 0.2
Reference = Annotated[str, Path(min_length=1, max_length=256)]


class ModelIn(In):
    """The model to register."""

    reference: Annotated[str, StringConstraints(pattern=REFERENCE, max_length=128)] = Field(
        examples=["torchvision:resnet18"]
    )
    note: Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1000)] = Field(
        "", description="What this version is, for people."
    )


class Layer(BaseModel):
    """A module called in a forward pass: the shape of its output. `rectified`: the output is never negative."""

    name: str
    type: str
    shape: list[int]
    rectified: bool
    tokens: bool = Field(
        default=False, description="The output is a grid of tokens; jobs name it NAME:tokens."
    )


class HeadOut(BaseModel):
    """The last linear layer of a network, whose weights are in the bucket under `models/sha256/`."""

    layer: str | None = Field(
        description="None: no linear layer at the end gives one output for each class, and nothing is stored."
    )
    classes: int | None = None
    width: int | None = Field(None, description="Of the pooled features that it reads.")
    sha256: str | None = None
    bytes: int | None = None


class ModelOut(BaseModel):
    """A registered model."""

    reference: str
    version: int = Field(description="Jobs may name it REFERENCE@VERSION; without, they name the newest.")
    digest: str
    note: str
    registered_by: str = Field(description="Empty where that was not recorded.")
    registered_at: float
    nondeterministic: str | None = Field(
        description="Why the output for an image depends on chance or on the other images, where that is allowed."
    )
    weights_note: str | None = Field(
        None, description="What was found in the file of weights: a key, a prefix of its names."
    )
    head: HeadOut | None = Field(
        None, description="None for a model registered by a version that did not store it."
    )
    versions: list[int] = Field(
        [], description="Of all its versions, newest first; in `GET /v1/models/NAME`."
    )
    input_size: list[int]
    output: str
    classes: int
    parameters: int
    presets: dict[str, dict[str, Any]] = Field(description="The layers of each preset, or why it has none.")
    default_preset: str
    created_at: float
    updated_at: float

    @classmethod
    def of(cls, model: Model) -> "ModelOut":
        """From a registered model of the ledger."""
        record = model.record
        return cls(
            reference=model.reference,
            version=model.version,
            digest=model.digest,
            note=model.note,
            registered_by=model.actor,
            registered_at=model.created_at,
            nondeterministic=record.get("nondeterministic"),
            weights_note=record.get("weights_note"),
            head=record.get("head"),
            input_size=list(record.get("input_size", [])),
            output=str(record.get("output", "")),
            classes=int(record.get("classes") or len(record.get("class_names", []))),
            parameters=int(record.get("parameters") or 0),
            presets=record.get("chosen", {}),
            default_preset=DEFAULT_PRESET,
            created_at=model.created_at,
            updated_at=model.updated_at,
        )


class ModelDetail(ModelOut):
    """A registered model with its layers and classes."""

    layers: list[Layer]
    class_names: list[str]
    preprocess: dict[str, Any]


@router.get("", responses=documented())
def list_models(context: ContextDep, caller: Reader) -> list[ModelOut]:
    """Registered models, ordered by reference."""
    return [ModelOut.of(model) for model in queries.list_models(context.database)]


def _find(context: ContextDep, reference: str) -> Model:
    model = queries.find_model(context.database, reference)
    if model is None:
        raise NotFound(f"model {reference} is not registered; GET /v1/models lists those that are")
    return model


@router.get("/{reference}", responses=documented(404))
def get_model(reference: Reference, context: ContextDep, caller: Reader) -> ModelDetail:
    """One model with its layers, classes and preprocessing."""
    model = _find(context, reference)
    return ModelDetail(
        **ModelOut.of(model).model_dump()
        | {"versions": [one.version for one in queries.list_versions(context.database, model.reference)]},
        layers=model.record.get("layers", []),
        class_names=model.record.get("class_names", []),
        preprocess=model.record.get("preprocess", {}),
    )


@router.get("/{reference}/versions", responses=documented(404))
def get_versions(reference: Reference, context: ContextDep, caller: Reader) -> list[ModelOut]:
    """Every version of a model that was not removed, newest first."""
    model = _find(context, reference)
    return [ModelOut.of(one) for one in queries.list_versions(context.database, model.reference)]


@router.get("/{reference}/layers", responses=documented(404))
def list_layers(reference: Reference, context: ContextDep, caller: Reader) -> list[Layer]:
    """The layers that a job may name, in the order of a forward pass."""
    return [Layer(**layer) for layer in _find(context, reference).record.get("layers", [])]


@router.post(
    "",
    status_code=201,
    response_model=ModelOut | TaskOut,
    responses=documented(
        409,
        413,
        also={
            201: {"model": ModelOut},
            202: {"model": TaskOut, "description": "Not done yet."},
        },
    ),
)
async def register_model(
    body: ModelIn,
    context: ContextDep,
    caller: Admin,
    response: Response,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for its end, at most.")
    ] = WAIT_S,
) -> ModelOut | TaskOut:
    """Register a model, or register it again; a worker does it. 201 with the model, or 202 with the task if it takes
    longer than `wait`.
    """
    task_id = await run_in_threadpool(
        request_registration, context.database, body.reference, caller.name, None, body.note
    )
    response.headers["Location"] = f"/v1/tasks/{task_id}"
    ends = time.monotonic() + wait
    while True:
        task = await run_in_threadpool(queries.get_task, context.database, task_id)
        if task.state is ShardState.DONE:
            return ModelOut.of(await run_in_threadpool(_find, context, body.reference))
        if task.state is ShardState.FAILED:
            raise Refused(422, task.reason or f"{body.reference} could not be registered")
        if task.ended:
            raise Refused(409, f"task {task_id} was cancelled")
        if time.monotonic() >= ends:
            response.status_code = 202
            return TaskOut.of(task)
        await asyncio.sleep(POLL_S)


@router.delete("/{reference}", status_code=204, responses=documented(404, 409))
def forget_model(reference: Reference, context: ContextDep, caller: Admin) -> None:
    """Remove a model, NAME with all its versions or NAME@3 alone; refused while a job needs it.

    Other jobs keep the record that they were submitted with.
    """
    ledger.delete_model(context.database, reference, actor=caller.name)
