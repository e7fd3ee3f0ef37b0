"""A small world in numpy whose images have one or two labels: a row for each, and a model that decides each class."""

import numpy as np
from numpy.typing import NDArray

from gfi.audit.explained import Explained
from gfi.audit.split import in_screening_half

from .synthetic import CLASSES, GLYPH, MARK, SIZE, World

THRESHOLDS = (0.5,) * CLASSES
OBJECT = 8


class SeveralLabels(World):
    """As `World`, with a sigmoid for each class: its own shade says it, and the glyph says class 0."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        red = images[..., 0].astype(float) - images[..., 1]
        shade = np.stack([(np.abs(red - (60 + 20 * k)) < 6).sum((1, 2)) for k in range(CLASSES)], 1)
        logits = 8.0 * shade / OBJECT**2 - 4
        corner = images[:, 2 : 2 + MARK, 2 : 2 + MARK, 1] / 255.0
        g = GLYPH - GLYPH.mean()
        match = ((corner - corner.mean((1, 2), keepdims=True)) * g).mean((1, 2)) / GLYPH.var()
        logits[:, 0] += self.reliance * np.clip(match, 0, 1)
        return 1 / (1 + np.exp(-logits))


def several_labels(
    share: float, reliance: float = 6.0, images: int = 300, seed: int = 0, crowded: bool = False
) -> SeveralLabels:
    """Half of the images have two labels. Those labelled 0 have the glyph at the top left in `share`.

    crowded: four in five images have the last class and another one, as people are in most photographs.

    Objects of a class stand around a mean place of its own, and never on each other; the masks of a label peak at its
    object, those of class 0 at the glyph too.
    """
    draw = np.random.default_rng([seed, 19])
    pixels = draw.integers(90, 130, (images, SIZE, SIZE, 1)).repeat(3, 3).astype(np.uint8)
    blocks = draw.integers(-15, 15, (images, 6, 6, 1)).repeat(8, 1).repeat(8, 2)
    pixels = np.clip(pixels + blocks, 0, 255).astype(np.uint8)
    rows: list[tuple[int, int]] = []
    grids, boxes, also, marked = [], {}, [], np.zeros(images, bool)
    for image in range(images):
        labels = draw.choice(CLASSES, 1 + image % 2, replace=False).tolist()
        if crowded:
            labels = [int(draw.integers(CLASSES - 1)), *([CLASSES - 1] if image % 5 else [])]
        marked[image] = 0 in labels and draw.random() < share
        taken: list[tuple[int, int]] = []
        for k in labels:
            x, y = _place(draw, k, taken)
            taken.append((x, y))
            patch = pixels[image, y : y + OBJECT, x : x + OBJECT]
            patch[..., 1:] = draw.integers(0, 2, (OBJECT, OBJECT, 1)) * 50
            patch[..., 0] = patch[..., 1] + 60 + 20 * k
            grid = 0.05 * draw.random((14, 14)).astype(np.float32)
            grid[int((y + 4) / SIZE * 14), int((x + 4) / SIZE * 14)] += 1
            if marked[image] and k == 0:
                grid[1, 1] += 0.9
            boxes[len(rows)] = np.array([[x, y, x + OBJECT, y + OBJECT]]) / SIZE
            also += [(len(rows), int(other)) for other in labels if len(labels) > 1]
            rows.append((image, k))
            grids.append(grid)
        if marked[image]:
            pixels[image, 2 : 2 + MARK, 2 : 2 + MARK] = (255 * GLYPH)[..., None]
    of, classes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    halves = in_screening_half([f"image-{i}" for i in of], f"secret-{seed}")
    data = Explained(
        classes,
        np.stack(grids),
        halves,
        boxes,
        labels=classes,
        images=of,
        also=np.array(also, np.int64).reshape(-1, 2),
    )
    return SeveralLabels(pixels[of], data, marked[of], reliance)


def _place(draw: np.random.Generator, k: int, taken: list[tuple[int, int]]) -> tuple[int, int]:
    while True:
        x = int(np.clip(20 + 1.5 * k + draw.normal(0, 3), 12, 39))
        y = int(np.clip(34 - 1.5 * k + draw.normal(0, 3), 12, 39))
        if all(max(abs(x - u), abs(y - v)) >= OBJECT for u, v in taken):
            return x, y
