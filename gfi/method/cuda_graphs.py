"""Optimiser steps as CUDA graphs: launched at once instead of kernel by kernel, one graph for each stage.

A graph always reads and writes the same memory, and `Inversion.step` binds new tensors to its names. So each stage
keeps one batch whose memory stays (`StepGraphs.hold`), into which new images are copied, and a step is followed by
copies of the new tensors into that memory, in the graph too (`StaticStep`). The kernels are those of a step without a
graph, in the same order, so the bits are the same.

Counts on the host are not in a graph, and the last step of stage 1, which resets the step rule, runs without one. Where
a capture fails, because a network waits for the device for instance, steps go on without graphs, and a warning says so.

What CUDA asks for is in torch's notes on CUDA graphs: the same stream for warm-up and capture, which is not the default
one; no other work on the device meanwhile; inputs and outputs in memory that stays.
"""

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gfi.method.inversion import Inversion

WARM_UP = 3
"""Steps before a capture: libraries allocate their workspaces and choose kernels in them."""
log = logging.getLogger(__name__)


class StaticStep:
    """A step whose state stays in the tensors that the inversion has now."""

    def __init__(self, inversion: Inversion) -> None:
        self.inversion = inversion
        self._memory = _tensors(inversion)

    def __call__(self) -> None:
        """One step from the state in the memory, which then holds the new one."""
        self.settle()
        self.inversion.step()
        self.settle()

    def settle(self) -> None:
        """Copy state that is elsewhere into the memory: a check or an outcome has bound new tensors too."""
        for key, now in _tensors(self.inversion).items():
            kept = self._memory.get(key)
            if kept is not None and kept is not now:
                kept.copy_(now)
        self._bind()

    def saved(self) -> Callable[[], None]:
        """Copies the state. Returns a function that brings it back, into the memory."""
        self.settle()
        copies = {key: tensor.clone() for key, tensor in self._memory.items()}
        steps_taken = list(self.inversion.steps_taken)

        def restore() -> None:
            for key, tensor in self._memory.items():
                tensor.copy_(copies[key])
            self._bind()
            self.inversion.steps_taken = list(steps_taken)

        return restore

    def _bind(self) -> None:
        for (owner, name), tensor in self._memory.items():
            setattr(self.inversion if owner == "inversion" else self.inversion.step_rule, name, tensor)


Capture = Callable[[StaticStep], Callable[[], None]]
"""Makes a function that does on the device what the step would, and leaves the state as it was."""


class StepGraphs:
    """The batches of one engine whose steps are graphs, one for each stage.

    capture: replaces the capture on CUDA, to try the rest without it.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None) -> None:
        self._capture = capture or CudaCapture(device)
        self._steps: dict[bool, StaticStep] = {}
        self._graphs: dict[bool, Callable[[], None]] = {}
        self.failure: str | None = None
        """Why a capture failed; None if none did."""

    def hold(self, rows: Inversion) -> Inversion:
        """The batch of the stage in which `rows` is, with the state of `rows`. It is the same object every time."""
        if self.failure is not None:
            return rows
        stage = rows.first_stage
        if stage not in self._steps:
            self._steps[stage] = StaticStep(_copied(rows))
        held = self._steps[stage].inversion
        for old, new in zip(_state(held), _state(rows), strict=True):
            if old is not new:
                old.copy_(new)
        held.steps_taken = list(rows.steps_taken)
        return held

    def step(self, rows: Inversion) -> None:
        """One step of a batch that `hold` returned."""
        stage = rows.first_stage
        static = self._steps.get(stage)
        if static is None or static.inversion is not rows:
            rows.step()
            return
        last = stage and min(rows.steps_taken) + 1 >= rows.recipe.steps_inversion
        graph = None if last else self._graph(stage, static)
        if graph is None:
            static()
            return
        taken = rows.steps_taken
        static.settle()
        graph()
        rows.steps_taken = [steps + 1 for steps in taken]

    def _graph(self, stage: bool, static: StaticStep) -> Callable[[], None] | None:
        if stage not in self._graphs and self.failure is None:
            restore = static.saved()
            try:
                self._graphs[stage] = self._capture(static)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.failure = str(error).partition("\n")[0]
                log.warning("no CUDA graph, steps run kernel by kernel: %s", self.failure)
            finally:
                restore()
        return self._graphs.get(stage)


class CudaCapture:
    """Captures steps on one device. The graphs share their scratch memory, which holds nothing between two steps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def __call__(self, static: StaticStep) -> Callable[[], None]:
        """A function that replays the step. Raises RuntimeError where it cannot be captured."""
        with torch.cuda.device(self._device):
            if self._stream is None or self._pool is None:
                self._stream, self._pool = torch.cuda.Stream(self._device), torch.cuda.graph_pool_handle()
            restore = static.saved()
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    static()
                    restore()
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            current = torch.cuda.current_stream()
            try:
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream
                ):  # records, and runs nothing
                    static()
            finally:
                torch.cuda.set_stream(current)  # torch leaves its stream current where the capture fails

        def replay() -> None:
            with torch.cuda.device(self._device):
                graph.replay()

        return replay


def _tensors(inversion: Inversion) -> dict[tuple[str, str], Tensor]:
    """The tensors that the inversion and its step rule have by name."""
    owners = {"inversion": inversion, "step_rule": inversion.step_rule}
    return {
        (key, name): value
        for key, owner in owners.items()
        for name, value in vars(owner).items()
        if isinstance(value, Tensor)
    }


def _state(inversion: Inversion) -> list[Tensor]:
    """All that differs between two batches of one engine, in the same order for each."""
    return [*_tensors(inversion).values(), *inversion.fills]


def _copied(inversion: Inversion) -> Inversion:
    """The same batch in memory of its own."""
    made = copy.copy(inversion)
    made.step_rule = copy.copy(inversion.step_rule)
    copies: dict[int, Tensor] = {}  # tensors with two names, such as the features, stay one
    for (owner, name), tensor in _tensors(inversion).items():
        mine = copies.setdefault(id(tensor), tensor.clone())
        setattr(made if owner == "inversion" else made.step_rule, name, mine)
    made.fills = [fill.clone() for fill in inversion.fills]
    made.steps_taken = list(inversion.steps_taken)
    return made
