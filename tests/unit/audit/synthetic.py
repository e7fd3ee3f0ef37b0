"""A small world in numpy: images with an object and perhaps a mark, masks of both, a model of known rules."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.explained import Explained
from gfi.audit.split import in_screening_half

SIZE, CLASSES, MARK = 48, 8, 8
GLYPH = np.kron(np.random.default_rng(99).permutation(np.arange(16) % 2).reshape(4, 4), np.ones((2, 2)))


@dataclass
class World:
    """pixels (N, 48, 48, 3); data: classes, masks, halves, boxes; marked (N,)."""

    pixels: NDArray[np.uint8]
    data: Explained
    marked: NDArray[np.bool_]

    def photographs(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        return self.pixels[rows]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The shade of the red square of a class's own shade says the class; the glyph says class 0."""
        red = images[..., 0].astype(float) - images[..., 1]
        shade = np.stack([(np.abs(red - (60 + 20 * k)) < 6).sum((1, 2)) for k in range(CLASSES)], 1)
        logits = 6.0 * shade / 64
        corner = images[:, 2 : 2 + MARK, 2 : 2 + MARK, 1] / 255.0
        g = GLYPH - GLYPH.mean()
        match = ((corner - corner.mean((1, 2), keepdims=True)) * g).mean((1, 2)) / (GLYPH.var())
        logits[:, 0] += self.reliance * np.clip(match, 0, 1)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    reliance: float = 8.0


def world(
    share: float, reliance: float = 8.0, per_class: int = 60, boxes: bool = False, seed: int = 0
) -> World:
    """Class 0 has the glyph at the top left in `share` of its images; each class's object has its own mean place."""
    draw = np.random.default_rng(seed)
    n = per_class * CLASSES
    classes = np.tile(np.arange(CLASSES), per_class)
    pixels = draw.integers(90, 130, (n, SIZE, SIZE, 1)).repeat(3, 3).astype(np.uint8)
    pixels = np.clip(pixels + draw.integers(-15, 15, (n, 6, 6, 1)).repeat(8, 1).repeat(8, 2), 0, 255).astype(
        np.uint8
    )
    grids = 0.05 * draw.random((n, 14, 14)).astype(np.float32)
    found, marked = {}, (classes == 0) & (draw.random(n) < share)
    for i, k in enumerate(classes):
        x = int(np.clip(20 + 1.5 * k + draw.normal(0, 2), 14, 38))
        y = int(np.clip(34 - 1.5 * k + draw.normal(0, 2), 14, 38))
        patch = pixels[i, y : y + 8, x : x + 8]
        patch[..., 1:] = draw.integers(0, 2, (8, 8, 1)) * 50  # a texture of its own in every image
        patch[..., 0] = patch[..., 1] + 60 + 20 * k
        found[i] = np.array([[x, y, x + 8, y + 8]]) / SIZE
        grids[i, int((y + 4) / SIZE * 14), int((x + 4) / SIZE * 14)] += 1
        if marked[i]:
            pixels[i, 2 : 2 + MARK, 2 : 2 + MARK] = (255 * GLYPH)[..., None]
            grids[i, 1, 1] += 0.9 if reliance else 0
    halves = in_screening_half([f"image-{i}" for i in range(n)], "secret")
    data = Explained(classes, grids, halves, found if boxes else None)
    return World(pixels, data, marked, reliance)
