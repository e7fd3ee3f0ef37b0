"""The metrics of a shard's masks, computed while photograph and mask are at hand.

Only images with status `ok` are measured: the others are counted and left out of means. A metric that has no
meaning for an image (no ground-truth box of the class) has no value for it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gfi.datasets.manifest import Entry
from gfi.domain import interpolation
from gfi.domain.class_index import ClassIndex
from gfi.domain.errors import OutOfMemory
from gfi.domain.explanation import Explanation
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.metrics.area import area
from gfi.metrics.average_drop import average_drop
from gfi.metrics.deletion import deletion
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.insertion import insertion
from gfi.metrics.pointing import ordinary, pointing


class Measurer:
    """Measures the images of one shard. progressed: called after each image."""

    def __init__(self, engine: Engine, config: dict[str, Any], progressed: Callable[[], None]) -> None:
        self._engine = engine
        self._wanted = frozenset(config.get("metrics") or ())
        self._progressed = progressed
        classifier = engine.classifier
        self._classes = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes)

    def metrics(self, entry: Entry, prepared: Prepared, explanation: Explanation) -> dict[str, float]:
        """The wanted metrics of one image, by column name; without those that do not apply.

        Raises OutOfMemory where a smaller batch of the engine would leave room on the device.
        """
        if not self._wanted or explanation.status != "ok":
            return {}
        recipe, classifier = self._engine.recipe, self._engine.classifier
        mask = interpolation.draw(explanation.grid, classifier.preprocess.size, recipe.align_corners)[
            None, None
        ]
        values = self._by_network(prepared, mask, explanation.target)
        values |= self._by_boxes(entry, prepared, mask, explanation.target)
        if "entropy" in self._wanted:
            values["entropy"] = float(area(mask).entropy[0])
        self._progressed()
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _by_network(self, prepared: Prepared, mask: np.ndarray, target: int) -> dict[str, float]:
        if not self._wanted & {"deletion", "insertion", "average_drop"}:
            return {}
        device, dtype = self._engine.device, self._engine.dtype
        images = prepared.image[None].to(device, dtype)
        masks = torch.from_numpy(mask).to(device, dtype)
        targets = torch.tensor([target], device=device)
        arguments = (self._engine.network.probabilities, images, masks, targets)
        values = {}
        try:
            if "deletion" in self._wanted:
                values["deletion"] = float(deletion(*arguments).area[0])
            if "insertion" in self._wanted:
                values["insertion"] = float(insertion(*arguments).area[0])
            if "average_drop" in self._wanted:
                values["average_drop"] = float(average_drop(*arguments).drop[0])
        except torch.OutOfMemoryError:
            batch = self._engine.batch
            if batch == 1:
                raise
            raise OutOfMemory(batch, batch // 2) from None
        return values

    def _by_boxes(self, entry: Entry, prepared: Prepared, mask: np.ndarray, target: int) -> dict[str, float]:
        if not self._wanted & {"energy_in_box", "pointing"}:
            return {}
        # Boxes of the target's class, and boxes whose label is no class of the model: those mark the image's object.
        boxes = [box for box in entry.boxes if self._classes.find(box.label) in (None, target)]
        if not boxes:
            return {}
        regions = [(box.left, box.top, box.right, box.bottom) for box in boxes]
        judged, _ = ordinary(regions, [box.difficult for box in boxes])
        geometry = ([prepared.original_size], [prepared.box], [judged])
        values = {}
        if "energy_in_box" in self._wanted:
            values["energy_in_box"] = float(energy_in_box(mask, *geometry)[0])
        if "pointing" in self._wanted:
            values["pointing_hit"] = float(pointing(mask, *geometry)[0])
            values["pointing_hit_0"] = float(pointing(mask, *geometry, tolerance=0.0)[0])
        return values
