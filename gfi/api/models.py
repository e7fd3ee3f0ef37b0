"""Models: what registration read of them, and registering one.

Registration needs torch, which this process never loads: the API starts `gfi models add` as a process of its own and
answers when that has ended. On a machine without torch it answers with the command to run on a worker instead. A caller
names a reference (torchvision:NAME, timm:NAME@seed:N, or the NAME of a file that the operator put into the models
folder), never a path and never code.
"""

import importlib.util
import os
import re
import subprocess
import sys
import threading
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, StringConstraints

from gfi.api.access import Admin, Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.schemas import In
from gfi.store import ledger, queries
from gfi.store.errors import NotFound
from gfi.store.queries import Model

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)
REFERENCE = r"^(?:(?:torchvision|timm):)?[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:@seed:[0-9]{1,9})?$"
REGISTRATION_S = 300.0
_one_at_a_time = threading.Lock()
Reference = Annotated[str, Path(min_length=1, max_length=256)]


class ModelIn(In):
    """The model to register."""

    reference: Annotated[str, StringConstraints(pattern=REFERENCE, max_length=128)] = Field(
        examples=["torchvision:resnet18"]
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


class ModelOut(BaseModel):
    """A registered model."""

    reference: str
    digest: str
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
            digest=model.digest,
            input_size=list(record.get("input_size", [])),
            output=str(record.get("output", "")),
            classes=int(record.get("classes") or len(record.get("class_names", []))),
            parameters=int(record.get("parameters") or 0),
            presets=record.get("chosen", {}),
            default_preset=record.get("default_preset", "paper"),
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
        **ModelOut.of(model).model_dump(),
        layers=model.record.get("layers", []),
        class_names=model.record.get("class_names", []),
        preprocess=model.record.get("preprocess", {}),
    )


@router.get("/{reference}/layers", responses=documented(404))
def list_layers(reference: Reference, context: ContextDep, caller: Reader) -> list[Layer]:
    """The layers that a job may name, in the order of a forward pass."""
    return [Layer(**layer) for layer in _find(context, reference).record.get("layers", [])]


@router.post("", status_code=201, responses=documented(409, 413))
def register_model(body: ModelIn, context: ContextDep, caller: Admin) -> ModelOut:
    """Register a model, or register it again. The answer takes as long as reading its weights."""
    if importlib.util.find_spec("torch") is None:
        raise Refused(
            409,
            "torch is not installed where this API runs",
            f"Run on a worker: gfi models add {body.reference}",
        )
    if not _one_at_a_time.acquire(blocking=False):
        raise Refused(429, "another model is being registered", headers={"Retry-After": "10"})
    try:
        done = subprocess.run(
            # -P: a folder of the working directory named like one of our packages is not imported in its place.
            [sys.executable, "-P", "-m", "gfi.cli.main", "models", "add", body.reference],
            capture_output=True,
            text=True,
            check=False,
            timeout=REGISTRATION_S,
            stdin=subprocess.DEVNULL,
            # Into our own database: with this variable set, the command would ask an API.
            env={name: value for name, value in os.environ.items() if name != "GFI_API_URL"},
        )
    except subprocess.TimeoutExpired:
        raise Refused(503, f"registering {body.reference} took more than {REGISTRATION_S:.0f} s") from None
    finally:
        _one_at_a_time.release()
    if done.returncode:
        lines = [re.sub(r"^gfi: ", "", line) for line in done.stderr.splitlines() if line.strip()]
        raise Refused(422, lines[-1][:500] if lines else f"{body.reference} could not be registered")
    ledger.audited(context.database, caller.name, "model.registered", None, {"reference": body.reference})
    return ModelOut.of(_find(context, body.reference))


@router.delete("/{reference}", status_code=204, responses=documented(404))
def forget_model(reference: Reference, context: ContextDep, caller: Admin) -> None:
    """Remove a model; jobs keep the record that they were submitted with."""
    ledger.delete_model(context.database, reference, actor=caller.name)
