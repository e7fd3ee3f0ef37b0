"""The metrics of a shard's masks, computed while photograph and mask are at hand.

Only images with status `ok` are measured: the others are counted and left out of means. A metric that has no
meaning for an image (no ground-truth box of the class) has no value there.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gfi.datasets.manifest import Entry
from gfi.domain import interpolation
from gfi.domain.class_index import ClassIndex
from gfi.method.engine import Engine, Explanation
from gfi.method.preprocess import Prepared
from gfi.metrics.area import area
from gfi.metrics.average_drop import average_drop
from gfi.metrics.deletion import deletion
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.insertion import insertion
from gfi.metrics.pointing import ordinary, pointing


class Metrics:
    """Measures the images of one shard. beat: called after each, as a sign of progress."""

    def __init__(self, engine: Engine, config: dict[str, Any], beat: Callable[[], None]) -> None:
        self._engine = engine
        self._wanted = frozenset(config.get("metrics") or ())
        self._beat = beat
        classifier = engine.classifier
        self._classes = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes)

    def of(self, entry: Entry, prepared: Prepared, explanation: Explanation) -> dict[str, float]:
        """The wanted metrics of one image, by column name; without those that do not apply."""
        if not self._wanted or explanation.status != "ok":
            return {}
        recipe, classifier = self._engine.recipe, self._engine.classifier
        mask = interpolation.draw(explanation.grid, classifier.preprocess.size, recipe.align_corners)[
            None, None
        ]
        found = self._of_the_network(prepared, mask, explanation.target) | self._of_the_boxes(
            entry, prepared, mask, explanation.target
        )
        if "entropy" in self._wanted:
            found["entropy"] = float(area(mask).entropy[0])
        self._beat()
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _of_the_network(self, prepared: Prepared, mask: np.ndarray, target: int) -> dict[str, float]:
        if not self._wanted & {"deletion", "insertion", "average_drop"}:
            return {}
        device, dtype = self._engine.device, self._engine.dtype
        images = prepared.image[None].to(device, dtype)
        masks = torch.from_numpy(mask).to(device, dtype)
        targets = torch.tensor([target], device=device)
        asked = (self._engine.network.probabilities, images, masks, targets)
        found = {}
        if "deletion" in self._wanted:
            found["deletion"] = float(deletion(*asked).area[0])
        if "insertion" in self._wanted:
            found["insertion"] = float(insertion(*asked).area[0])
        if "average_drop" in self._wanted:
            found["average_drop"] = float(average_drop(*asked).drop[0])
        return found

    def _of_the_boxes(
        self, entry: Entry, prepared: Prepared, mask: np.ndarray, target: int
    ) -> dict[str, float]:
        if not self._wanted & {"energy_in_box", "pointing"}:
            return {}
        # Boxes of the target's class, and boxes whose label the model does not know: those speak of the image's object.
        boxes = [box for box in entry.boxes if self._classes.find(box.label) in (None, target)]
        if not boxes:
            return {}
        regions = [(box.left, box.top, box.right, box.bottom) for box in boxes]
        judged, _ = ordinary(regions, [box.difficult for box in boxes])
        where = ([prepared.original_size], [prepared.box], [judged])
        found = {}
        if "energy_in_box" in self._wanted:
            found["energy_in_box"] = float(energy_in_box(mask, *where)[0])
        if "pointing" in self._wanted:
            found["pointing_hit"] = float(pointing(mask, *where)[0])
            found["pointing_hit_0"] = float(pointing(mask, *where, tolerance=0.0)[0])
        return found
