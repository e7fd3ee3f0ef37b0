"""A step never waits for the device and has no shape that depends on data, so that a GPU is never idle in between and a
step can be captured as a CUDA graph."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.cuda_graphs import StaticStep
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from tests.unit.method.networks import Small, smooth_images

SYNCHRONISING = {
    "_local_scalar_dense",
    "is_nonzero",
    "equal",
    "nonzero",
    "nonzero_static",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
    "lift_fresh",
}
"""Operations that bring data to the host, have a shape that depends on it, or (`lift_fresh`) bring data from it."""


class Refuse(TorchDispatchMode):
    """Raises at the first operation that waits for the device or copies between devices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        out = func(*args, **(kwargs or {}))
        if name in SYNCHRONISING:
            raise AssertionError(f"{name} waits for the device")
        if name in ("index", "index_put", "_index_put_impl_", "index_put_"):
            at = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in at):
                raise AssertionError(f"{name} by a mask has a shape that depends on data")
        if name in ("_to_copy", "copy_", "_pin_memory") and isinstance(args[0], Tensor):
            source = args[1] if name == "copy_" else args[0]
            if isinstance(source, Tensor) and source.device != out.device:
                raise AssertionError(f"{name} copies from {source.device} to {out.device}")
        return out


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Inside, an operation that synchronises is an error."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_sync_debug_mode("error")
    try:
        with Refuse():
            yield
    finally:
        if cuda:
            torch.cuda.set_sync_debug_mode("default")


class Lively(Small):
    """Small with the modules that are computed row by row on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(super().forward(x))


RECIPES = [recipe("paper"), recipe("released"), recipe("tuned"), recipe("tuned", steps_inversion=1)]


def started(chosen: Recipe, device: str) -> Inversion:
    """Two images before their first step."""
    engine = Engine(classifiers.from_module(Lively(), (32, 32)), chosen, device=device, batch=2)
    images = smooth_images(2, 32).float().to(device)
    inversion = Inversion(engine.network, chosen, 2)
    fill = torch.zeros_like(images)
    inversion.start(images, fill, [None, 3], fill if chosen.second_fill != "none" else None, [None, 1])
    return inversion


def first_of_each_stage(inversion: Inversion) -> list[int]:
    """Steps before the first step of stage 1, of stage 2, and the last one."""
    stages = {0, inversion.recipe.steps_inversion, inversion.recipe.steps - 1}
    return sorted(stages)


@pytest.mark.parametrize("chosen", RECIPES, ids=["paper", "released", "tuned", "tuned-two-stages"])
def test_a_step_does_not_synchronise(chosen: Recipe) -> None:
    """Nor does the step that is captured as a graph, which copies the new state into the memory of the old one."""
    inversion = started(chosen, "cuda:0" if torch.cuda.is_available() else "cpu")
    inversion.step()
    for steps in first_of_each_stage(inversion):
        inversion.skip_to(steps)
        static = StaticStep(inversion)
        with refused():
            static()


@pytest.mark.parametrize("chosen", RECIPES, ids=["paper", "released", "tuned", "tuned-two-stages"])
def test_a_step_needs_no_value_of_any_tensor(chosen: Recipe) -> None:
    """On torch's device without data every read of a value is an error."""
    inversion = started(chosen, "cpu")
    inversion.network.module.to("meta")
    _empty(inversion)
    for steps in first_of_each_stage(inversion):
        inversion.skip_to(steps)
        inversion.step()
        assert inversion.omega.device.type == "meta"


def _empty(owner: object) -> None:
    """Replace the tensors in the attributes of `owner`, and of the parts it is made of, by tensors without data."""
    for name, value in list(vars(owner).items()):
        if isinstance(value, Tensor):
            setattr(owner, name, value.to("meta"))
        elif isinstance(value, list) and value and isinstance(value[0], Tensor):
            setattr(owner, name, [tensor.to("meta") for tensor in value])
        elif isinstance(value, dict) and value and isinstance(next(iter(value.values())), Tensor):
            setattr(owner, name, {key: tensor.to("meta") for key, tensor in value.items()})
        elif name == "upsample":
            setattr(owner, name, type(value)(*(matrix.to("meta") for matrix in value)))
        elif name in ("step_rule", "_stage_1_loss", "_stage_2_loss"):
            _empty(value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.sum().item(),
        lambda t: bool(t.any()),
        lambda t: t[t > 0],
        lambda t: t.nonzero(),
        lambda t: t.to("meta"),
        lambda t: torch.tensor([1.0, 2.0]),
    ],
    ids=["item", "bool", "mask", "nonzero", "copy", "from the host"],
)
def test_what_synchronises_is_noticed(wrong: Any) -> None:
    with pytest.raises(AssertionError), refused():
        wrong(torch.ones(3))
