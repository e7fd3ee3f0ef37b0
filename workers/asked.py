"""What the network answers in an audit, at the engine's fixed batch shape."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gfi.jobs.task_run import TaskRun
from gfi.method.engine import Engine
from gfi.method.preprocess import normalise


class Asked:
    """`predict` of an audit: views → probabilities, at the engine's fixed batch shape. answered: how many views.

    each_label: whether the job explains each label; then a network of sigmoids is asked for each class by itself, and
    `thresholds` has its thresholds, as `workers.result_rows.predicted` has.
    """

    def __init__(self, engine: Engine, run: TaskRun, *, each_label: bool = False) -> None:
        self._engine, self._run = engine, run
        self.batch = engine.batch
        self.answered = 0
        classifier = engine.classifier
        self.thresholds: Sequence[float] | None = None
        if each_label and classifier.output == "sigmoid":
            self.thresholds = classifier.thresholds or (0.5,) * classifier.classes

    def __call__(self, shown: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities (n, K) of views (n, H, W, 3); n is at most the batch."""
        self._run.check()
        engine = self._engine
        preprocess = engine.classifier.preprocess
        images = [normalise(Image.fromarray(one), preprocess) for one in shown]
        images += [torch.zeros_like(images[0])] * (self.batch - len(images))
        stacked = torch.stack(images).to(engine.device, engine.network.dtype)
        with engine.exact(), torch.no_grad():
            stacked = stacked.contiguous(memory_format=engine.network.memory_format)
            answer = engine.network.probabilities(stacked)[: len(shown)].double().cpu().numpy()
        self.answered += len(shown)
        self._run.progressed()
        return answer


def alive(run: TaskRun) -> Callable[[], None]:
    """A check that also says that the task goes on."""

    def alive() -> None:
        run.check()
        run.progressed()

    return alive
