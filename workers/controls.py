"""The controls of a job that asks for metrics: the scores of masks that do not depend on the image, and of the job's
method on the network with random weights, on a sample of the job's images.

They are results of the methods `random`, `centred` and `randomised` beside the image's own; summary, report and job
page show their means beside the score. The sample follows from the row's number and the model alone, so that a shard
that is explained again has the same.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gfi.domain import geometry
from gfi.domain.explanation import Explanation
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.peers.controls import centred_mask, random_mask
from workers.image_grids import Grid, scores
from workers.measuring import Measurer
from workers.photographs import Photograph

IMAGES = 32
"""Images of a job that have controls, on average."""
LARGEST_SHARE = 0.25
"""The largest share of a job's images that have controls: each costs an explanation and three times the metrics."""
CELLS = 14
"""Cells along each side of the random and of the centred mask."""


def sampled(model_digest: str, row: int, images: int) -> bool:
    """Whether a row of the manifest of a job over `images` images has controls."""
    digest = hashlib.sha256(f"{model_digest}:{row}".encode()).digest()
    return int.from_bytes(digest[:8]) < min(LARGEST_SHARE, IMAGES / max(images, 1)) * 2**64


@dataclass(frozen=True, eq=False)
class Sampled:
    """An explained image of the sample, its photograph and its result."""

    photograph: Photograph
    explanation: Explanation
    result: Result


class Controls:
    """The controls of the images of one shard.

    engine: the job's. measurer: of the job's metrics. randomised: loads the job's engine with random weights.
    """

    def __init__(self, engine: Engine, measurer: Measurer, randomised: Callable[[], Engine]) -> None:
        self._engine = engine
        self._measurer = measurer
        self._randomised = randomised

    def results(
        self,
        images: Sequence[Sampled],
        grids: Mapping[int, Grid],
        progressed: Callable[[], None],
        stop: threading.Event,
    ) -> Iterator[Result]:
        """The results of all controls of these images. A control without a mask or metrics has none.

        grids: of some of the images, by row, where the job asks for `grid_pointing`. progressed: called after every
        step. Raises Stopped after `stop` was set.
        """
        align_corners = self._engine.recipe.align_corners
        for one in images:
            row = one.result.row
            nothing = torch.zeros(1, 1, CELLS, CELLS)
            noise = random_mask(None, nothing, torch.tensor([0]), cells=CELLS, seed=row)
            bell = centred_mask(None, nothing, torch.tensor([0]))
            for method, mask in (("random", noise), ("centred", bell)):
                values = mask[0, 0].numpy().astype(np.float32)
                of_grid = grids[row].score(values, align_corners) if row in grids else {}
                yield from self._result(one, method, values, of_grid)
        if not images:
            return
        engine = self._randomised()
        of_grids = scores(engine, list(grids.values()), progressed, stop)
        items = (
            Item(i, one.photograph.prepared, one.explanation.target, one.explanation.foil)
            for i, one in enumerate(images)
            if one.photograph.prepared is not None
        )
        for explanation in engine.explain_many(items, lambda _: progressed(), stop):
            if explanation.area > 0 and np.isfinite(explanation.grid).all():
                one = images[explanation.key]
                of_grid = of_grids.get(one.result.row, {})
                yield from self._result(one, "randomised", explanation.grid, of_grid)

    def _result(
        self, one: Sampled, method: str, grid: NDArray[np.float32], of_grid: Mapping[str, float]
    ) -> Iterator[Result]:
        prepared = one.photograph.prepared
        assert prepared is not None
        shown = replace(one.explanation, grid=grid, status=ImageStatus.OK)
        metrics = self._measurer.metrics(one.photograph.entry, prepared, shown) | dict(of_grid)
        if not metrics:
            return
        size = self._engine.classifier.preprocess.size
        area = float(geometry.draw(grid, size, self._engine.recipe.align_corners).mean())
        yield replace(
            one.result,
            method=method,
            grid=grid,
            metrics=metrics,
            area=area,
            kept=None,
            removed=None,
            iterations=None,
            error=None,
            error_class=None,
        )
