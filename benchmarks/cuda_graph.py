"""One optimiser step as a CUDA graph: launched at once instead of kernel by kernel.

`Inversion.step` binds new tensors to its names. A graph always reads and writes the same memory, so a step is followed
by copies of the new tensors into the old ones, in the graph too. Stages have different passes: one graph for each.
Counts on the host are not in the graph; the caller knows in which stage it is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gfi.method.inversion import Inversion

WARM_UP = 3
"""Steps before a capture, as torch's documentation asks for."""


class StaticStep:
    """A step whose state stays in the same tensors."""

    def __init__(self, inversion: Inversion) -> None:
        self.inversion = inversion

    def __call__(self) -> None:
        """One step, and its new state copied into the tensors that held the old one."""
        before = _tensors(self.inversion)
        self.inversion.step()
        for (owner, name), new in _tensors(self.inversion).items():
            old = before.get((owner, name))
            if old is not None and old is not new:
                old.copy_(new)
                _write(owner, name, old, self.inversion)


def _tensors(inversion: Inversion) -> dict[tuple[str, str], Tensor]:
    """The tensors of the inversion and of its step rule, by owner and name."""
    owners = {"inversion": inversion, "step_rule": inversion.step_rule}
    return {
        (key, name): value
        for key, owner in owners.items()
        for name, value in vars(owner).items()
        if isinstance(value, Tensor)
    }


def _write(owner: str, name: str, value: Tensor, inversion: Inversion) -> None:
    target: Any = inversion if owner == "inversion" else inversion.step_rule
    setattr(target, name, value)


def captured(inversion: Inversion, steps_done: int) -> Callable[[], None]:
    """A function that runs a step of the stage that the step after `steps_done` belongs to, as a graph.

    The state is as it was when this returns, with `steps_done` steps taken, and moves on with every call. Without CUDA
    the function runs the step itself.
    """
    step = StaticStep(inversion)
    inversion.skip_to(steps_done)

    def here() -> None:
        inversion.steps_taken = [steps_done] * inversion.batch  # the stage, for the host
        step()

    if inversion.omega.device.type != "cuda":
        return here
    state = _tensors(inversion)
    saved = {name: tensor.clone() for name, tensor in state.items()}
    stream = torch.cuda.Stream(inversion.omega.device)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            here()
        for name, tensor in state.items():
            tensor.copy_(saved[name])
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records, and runs nothing
        here()
    return graph.replay
