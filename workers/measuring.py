"""Computes the metrics of a shard's masks while photograph and mask are in memory.

Only images with status `ok` are measured: the others are counted and left out of means. A metric that has no
meaning for an image (no ground-truth box of the class) has no value for it.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from gfi import samples
from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import UNSEEN_REGION, region_of
from gfi.datasets.manifest import Entry
from gfi.domain import geometry
from gfi.domain.class_index import ClassIndex
from gfi.domain.errors import OutOfMemory
from gfi.domain.explanation import Explanation
from gfi.domain.job import JobConfig
from gfi.domain.metrics import CATALOGUE
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.metrics.iou_region import is_unseen
from gfi.metrics.photograph_fill import Bank
from gfi.metrics.pointing import ordinary
from gfi.metrics.sample import Sample, measure
from workers.photographs import Photograph


class Measurer:
    """Measures the images of one shard. progressed: called after each image."""

    def __init__(self, engine: Engine, config: JobConfig, progressed: Callable[[], None]) -> None:
        self._engine = engine
        wanted = [CATALOGUE[name] for name in config.metrics if name in CATALOGUE]
        self._wanted = [metric for metric in wanted if metric.needs != "grids"]  # see workers.image_grids
        self._progressed = progressed
        classifier = engine.classifier
        self._classes = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes)

    def metrics(self, entry: Entry, prepared: Prepared, explanation: Explanation) -> dict[str, float]:
        """The wanted metrics of one image, by column name; without those that do not apply.

        Raises OutOfMemory if a smaller batch of the engine would free enough memory on the device.
        """
        if not self._wanted or explanation.status != ImageStatus.OK:
            return {}
        sample = self._sample(entry, prepared, explanation)
        values: dict[str, float] = {}
        try:
            for metric in self._wanted:
                if metric.needs != "boxes" or sample.regions:
                    values |= measure(metric.name, sample)
        except torch.OutOfMemoryError:
            batch = self._engine.batch
            if batch == 1:
                raise
            raise OutOfMemory(batch, batch // 2) from None
        self._progressed()
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def noted(self, photograph: Photograph, explanation: Explanation) -> Photograph:
        """The photograph, with one more note where the region of the explained class has no IoU."""
        prepared, wanted = photograph.prepared, any(metric.name == "iou_region" for metric in self._wanted)
        if not wanted or prepared is None or explanation.status != ImageStatus.OK:
            return photograph
        region = region_of(self._boxes(photograph.entry, explanation.target), prepared.original_size)
        if region is None or not is_unseen(region, prepared.box):
            return photograph
        return replace(photograph, note=UNSEEN_REGION.after(photograph.note))

    def _sample(self, entry: Entry, prepared: Prepared, explanation: Explanation) -> Sample:
        engine, boxes = self._engine, self._boxes(entry, explanation.target)
        size = engine.classifier.preprocess.size
        return Sample(
            mask=geometry.draw(explanation.grid, size, engine.recipe.align_corners),
            target=explanation.target,
            original_size=prepared.original_size,
            box=prepared.box,
            regions=tuple(box.sides for box in boxes),
            region=region_of(boxes, prepared.original_size),
            image=prepared.image.to(engine.device, engine.dtype),
            probabilities=engine.network.probabilities,
            bank=self._bank if any(metric.name == "photograph_fill" for metric in self._wanted) else None,
        )

    @cached_property
    def _bank(self) -> Bank:
        """The shipped photographs as the network sees them."""
        engine = self._engine
        files = sorted(samples.path().glob("*.jpg"))
        shown = [np.asarray(Image.open(file).convert("RGB")) for file in files]
        prepared = [engine.classifier.prepare(rgb, engine.recipe).image for rgb in shown]
        return Bank.of(engine.network.probabilities, torch.stack(prepared).to(engine.device, engine.dtype))

    def _boxes(self, entry: Entry, target: int) -> list[Box]:
        """The boxes of the target's class. A box without a label has the label of the image, or each of its labels; if
        the image has none either, the box counts for any explained class."""
        boxes = []
        for box in entry.boxes:
            labels = (box.label,) if box.label else entry.labels or (entry.label,)
            if any(label is None or self._classes.find(label) == target for label in labels):
                boxes.append(box)
        return ordinary(boxes, [box.difficult for box in boxes])[0]
