"""Grids of a job's own images, for the metric `grid_pointing` (`gfi.metrics.grid_pointing`).

An image of the sample (`workers.controls`) that the network predicts as the explained class is put into a 2×2 grid with
three other images of the job, predicted as three other classes: of some that are drawn, those of which the network is
surest. There is no least probability, because networks differ in how sure they are. The mask of the grid for the
image's class should lie in the image's cell. The cell and the images that are drawn follow from the model and the row's
number alone, so that a shard that is explained again has the same grids.

The other images are of other shards. If one of them kills the worker, no image of this shard is to blame, so none is
announced, and the next attempt leaves the grids out.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.datasets.manifest import Entry, Manifest
from gfi.domain import geometry
from gfi.domain.errors import Stopped
from gfi.domain.explanation import Explanation
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.metrics.grid_pointing import SIDE, compose
from gfi.metrics.sample import Sample, measure
from workers.photographs import Photograph

NAME = "grid_pointing"
DRAWN = 12
"""Other images that are read for a grid."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid with the image of one row. image, fill: as in `Prepared`. cell: the image's, in raster order."""

    row: int
    image: Tensor
    fill: Tensor | None
    target: int
    cell: int

    @property
    def prepared(self) -> Prepared:
        """The grid as an image of its own."""
        height, width = self.image.shape[1:]
        return Prepared(self.image, self.fill, (height, width), (0.0, 0.0, float(width), float(height)))

    def score(self, grid: NDArray[np.float32], align_corners: bool) -> dict[str, float]:
        """The columns of the metric for a mask of this grid before up-sampling, (h, w)."""
        seen = self.prepared
        drawn = geometry.draw(grid, seen.original_size, align_corners)
        sample = Sample(drawn, self.target, seen.original_size, seen.box, cell=self.cell)
        return dict(measure(NAME, sample))


class ImageGrids:
    """Makes the grids of one shard.

    manifest: of the job. read: as `photograph_reader` makes it. progressed: called after each image that was read.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        read: Callable[[Entry], Photograph],
        progressed: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._manifest = manifest
        self._read = read
        self._progressed = progressed
        self._stop = stop

    def of(self, photograph: Photograph, explanation: Explanation, model_digest: str) -> Grid | None:
        """The grid of an explained image. None if the network predicts another class than the explained one, and if the
        images drawn have too few classes. Raises Stopped."""
        own, row = photograph.prepared, photograph.entry.row
        if own is None or explanation.target != explanation.prediction:
            return None
        draw = _draw(model_digest, row)
        cell = draw.randrange(SIDE * SIDE)
        surest: dict[int, tuple[float, Prepared]] = {}
        for prepared, predicted, probability in self._others(row, draw):
            if predicted != explanation.target and probability > surest.get(predicted, (0.0, own))[0]:
                surest[predicted] = probability, prepared
        if len(surest) < SIDE * SIDE - 1:
            return None
        ranked = sorted(surest.values(), key=lambda one: -one[0])[: SIDE * SIDE - 1]
        cells = [prepared for _, prepared in ranked]
        cells.insert(cell, own)
        fills = [one.fill for one in cells if one.fill is not None]
        return Grid(
            row,
            self._composed([one.image for one in cells]),
            self._composed(fills) if fills else None,
            explanation.target,
            cell,
        )

    def _others(self, row: int, draw: random.Random) -> Iterator[tuple[Prepared, int, float]]:
        """Other images of the job, each with its predicted class and the probability."""
        count = self._manifest.count
        for position in draw.sample(range(count), min(DRAWN, count)):
            if self._stop.is_set():
                raise Stopped("stopped while grids were made")
            (entry,) = self._manifest.rows(position, position + 1)
            seen = None if entry.row == row else self._read(entry).prepared
            self._progressed()
            if seen is not None:
                probability, predicted = self._engine.probabilities_of(seen).max(0)
                yield seen, int(predicted), float(probability)

    def _composed(self, images: Sequence[Tensor]) -> Tensor:
        return compose(torch.stack(list(images))[None], SIDE, self._engine.classifier.preprocess.size)[0]


def scores(
    engine: Engine, grids: Sequence[Grid], progressed: Callable[[], None], stop: threading.Event
) -> dict[int, dict[str, float]]:
    """The columns of the metric for the masks that the engine makes of the grids, by row. Raises Stopped."""
    of_row = {grid.row: grid for grid in grids}
    items = (Item(grid.row, grid.prepared, grid.target) for grid in grids)
    found = {}
    for explanation in engine.explain_many(items, lambda _: progressed(), stop):
        # A grid without a usable mask counts as one with a constant mask, which scores 0.
        usable = np.isfinite(explanation.grid).all()
        mask = explanation.grid if usable else np.zeros_like(explanation.grid)
        found[explanation.key] = of_row[explanation.key].score(mask, engine.recipe.align_corners)
    return found


def _draw(model_digest: str, row: int) -> random.Random:
    seed = hashlib.sha256(f"{model_digest}:{row}:grid".encode()).digest()
    return random.Random(int.from_bytes(seed[:8]))  # noqa: S311 - a sample, not a secret
