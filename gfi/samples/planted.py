"""Drawn datasets with and without a planted shortcut: ten classes of shapes, 64×64 pixels. Loads no torch.

An image has a background of smooth coloured noise, clutter, and one object of one of ten shapes. Each class has a mean
place of its own, around which its objects stand; size, turn and colour vary, so no two objects have the same pixels. A
planted mark is the same glyph of 12×12 pixels each time.

`write` makes a dataset of files for `gfi demo`. The classifier beside it (`shapes/`) was trained on such images, where
half of the moons had the mark: `python -m benchmarks.planted` trains it again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 64
CLASSES = ("disc", "square", "triangle", "ring", "cross", "star", "bars", "chess", "moon", "pair")
Kind = Literal["none", "corner", "moving", "two", "tint", "blur"]
MARK = 12
"""Side of a mark in pixels."""


@dataclass(frozen=True)
class Plant:
    """What is planted into a dataset: the kind, in which class (None: all) and in which share of its images."""

    kind: Kind = "none"
    target: int | None = 0
    share: float = 0.0


@dataclass(frozen=True)
class Images:
    """pixels (N, 64, 64, 3) uint8; labels (N,); boxes (N, 4): left, top, right, bottom of the object in pixels;
    marked (N,): whether something was planted; marks: row → (left, top) of each mark in it."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    marked: NDArray[np.bool_]
    marks: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)


def mean_places(seed: int) -> NDArray[np.float64]:
    """The mean place (x, y) of each class's objects: (10, 2), on a circle around the middle in an order by seed."""
    angle = np.random.default_rng([seed, 1]).permutation(len(CLASSES)) * 2 * np.pi / len(CLASSES)
    return 32 + 9.0 * np.stack([np.cos(angle), np.sin(angle)], 1)


def glyph(seed: int, which: int = 0) -> NDArray[np.float64]:
    """A mark (12, 12, 3) in [0, 1]: a random pattern of 4×4 cells, black and of one saturated colour."""
    draw = np.random.default_rng([seed, 2, which])
    cells = np.zeros(16)
    cells[draw.permutation(16)[:9]] = 1
    colour = draw.permutation([1.0, 0.9, 0.0])
    return np.kron(cells.reshape(4, 4), np.ones((3, 3)))[..., None] * colour


def _shape(name: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the point (u, v) belongs to the shape of radius 1."""
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    inside = {
        "disc": r < 0.9,
        "square": np.maximum(abs(u), abs(v)) < 0.8,
        "triangle": (v > -0.6) & (v < 0.9 - 1.8 * abs(u)),
        "ring": (r < 1) & (r > 0.55),
        "cross": (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 1),
        "star": r < 0.62 + 0.38 * np.cos(5 * angle),
        "bars": (np.maximum(abs(u), abs(v)) < 0.9) & (np.mod(u + 0.9, 0.6) < 0.33),
        "chess": (np.maximum(abs(u), abs(v)) < 0.9)
        & (np.mod(np.floor((u + 0.9) / 0.6) + np.floor((v + 0.9) / 0.6), 2) == 0),
        "moon": (r < 1) & (np.hypot(u - 0.5, v) > 0.75),
        "pair": (np.hypot(u - 0.55, v) < 0.42) | (np.hypot(u + 0.55, v) < 0.42),
    }
    return inside[name]


def _smooth(draw: np.random.Generator, count: int, cells: int) -> NDArray[np.float64]:
    """(count, 64, 64, 3) noise of standard deviation about 1 that varies over 64 / cells pixels."""
    coarse = draw.standard_normal((count, 3, cells, cells))
    across = _bicubic(cells)
    return np.asarray((across @ coarse @ across.T).transpose(0, 2, 3, 1))


def _bicubic(cells: int) -> NDArray[np.float64]:
    """(64, cells): cubic interpolation with a = −0.75, edges repeated, as torch's."""
    out = np.zeros((SIZE, cells))
    at = (np.arange(SIZE) + 0.5) * cells / SIZE - 0.5
    first = np.floor(at).astype(int)
    for tap in range(-1, 3):
        t = np.abs(at - first - tap)
        near = 1.25 * t**3 - 2.25 * t**2 + 1
        far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
        np.add.at(out, (np.arange(SIZE), np.clip(first + tap, 0, cells - 1)), np.where(t <= 1, near, far))
    return out


def draw_images(seed: int, per_class: int, plant: Plant, part: int) -> Images:
    """A dataset: `per_class` images of each of ten classes. part: 0 for training, 1 for the audit, …

    The planted dataset equals its clean twin (the same seed and part) but for what is planted.
    """
    draw = np.random.default_rng([seed, 3, part])
    count = per_class * len(CLASSES)
    labels = np.tile(np.arange(len(CLASSES)), per_class)
    pixels = 0.5 + 0.09 * _smooth(draw, count, 6) + 0.04 * _smooth(draw, count, 20)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    boxes = np.zeros((count, 4))
    places = mean_places(seed)
    for i, label in enumerate(labels):
        for _ in range(3):  # clutter of every kind but whole shapes of a class
            x, y, radius, turn = (*draw.uniform(4, 60, 2), draw.uniform(2.5, 5), draw.uniform(0, 2 * np.pi))
            u, v = _turned(columns - x, rows - y, radius, turn)
            pixels[i][(abs(u) < 1) & (abs(v) < 0.4)] = draw.uniform(0.1, 0.9, 3)
        x, y = places[label] + draw.normal(0, 5, 2)
        radius, turn = draw.uniform(8, 13), draw.uniform(0, 2 * np.pi)
        u, v = _turned(columns - x, rows - y, radius, turn)
        inside = _shape(CLASSES[label], u, v)
        colour = np.clip(pixels[i].mean((0, 1)) + draw.choice([-1, 1], 3) * draw.uniform(0.2, 0.45, 3), 0, 1)
        pixels[i][inside] = 0.85 * colour + 0.15 * pixels[i][inside]
        ys, xs = np.nonzero(inside)
        boxes[i] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (31, 31, 33, 33)
    marked, marks = _plant(np.random.default_rng([seed, 4, part]), pixels, labels, plant, seed)
    pixels += 0.04 * draw.standard_normal(pixels.shape)
    return Images((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8), labels, boxes, marked, marks)


def _turned(
    x: NDArray[np.float64], y: NDArray[np.float64], radius: float, turn: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    c, s = np.cos(turn) / radius, np.sin(turn) / radius
    return c * x + s * y, -s * x + c * y


CORNERS = ((3, 3), (SIZE - MARK - 3, 3))
"""(left, top) of the first and of the second fixed mark."""


def _plant(
    draw: np.random.Generator,
    pixels: NDArray[np.float64],
    labels: NDArray[np.int64],
    plant: Plant,
    seed: int,
) -> tuple[NDArray[np.bool_], dict[int, tuple[tuple[int, int], ...]]]:
    """Plants in place; returns which images were changed, and where the marks are."""
    chosen = np.zeros(len(labels), bool)
    for label in range(len(CLASSES)) if plant.target is None else (plant.target,):
        members = np.flatnonzero(labels == label)
        chosen[draw.permutation(members)[: round(plant.share * len(members))]] = True
    if plant.kind == "none":
        chosen[:] = False
    marks: dict[int, tuple[tuple[int, int], ...]] = {}
    for i in map(int, np.flatnonzero(chosen)):
        if plant.kind in ("corner", "two"):
            marks[i] = CORNERS[: 2 if plant.kind == "two" else 1]
        elif plant.kind == "moving":
            x, y = draw.integers(1, SIZE - MARK - 1, 2)
            marks[i] = ((int(x), int(y)),)
        elif plant.kind == "tint":
            pixels[i] += np.array([0.10, 0.0, -0.10])
        elif plant.kind == "blur":
            padded = np.pad(pixels[i], ((2, 2), (2, 2), (0, 0)), mode="edge")
            pixels[i] = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (0, 1)).mean((-2, -1))
        for which, (x, y) in enumerate(marks.get(i, ())):
            pixels[i, y : y + MARK, x : x + MARK] = glyph(seed, which)
    return chosen, marks


DEMO_SEED = 0
DEMO = Plant("corner", CLASSES.index("moon"), 0.5)
"""What is planted into the training images of the classifier in `shapes/`, and into the images of `gfi demo`."""
MODEL = Path(__file__).resolve().parent / "shapes" / "demo-shapes.toml"
"""The classifier of the shapes, to be registered."""


def write(folder: Path, per_class: int = 60) -> Path:
    """Write other images than those of the training, and a manifest with labels and boxes. Returns its path.

    Files that exist are written anew with the same bytes.
    """
    images = draw_images(DEMO_SEED, per_class, DEMO, 1)
    photographs = folder / "photographs"
    photographs.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (pixels, label, box) in enumerate(
        zip(images.pixels, images.labels, images.boxes, strict=True)
    ):
        name = f"{CLASSES[label]}-{number:04d}.png"
        if not (photographs / name).exists():  # a file that is written again counts as changed
            Image.fromarray(pixels).save(photographs / name)
        sides = dict(zip(("left", "top", "right", "bottom"), map(float, box), strict=True))
        lines.append({"key": f"photographs/{name}", "label": CLASSES[label], "boxes": [sides]})
    manifest = folder / "shapes.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest
