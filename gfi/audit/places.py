"""Places: square or other rectangles of the network's view, and the control places beside them.

Coordinates are shares of the view's sides in [0, 1], so a place is the same at every input size.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SIDE = {7: 2 / 7, 14: 1.5 / 7}
"""The side of a candidate's place at each scale: a cell and what a mark reaches beyond it."""


@dataclass(frozen=True, order=True)
class Place:
    """left, top, right, bottom in [0, 1] of the network's view."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(f"{self} is no rectangle inside the image")

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Share of the view."""
        return (self.right - self.left) * (self.bottom - self.top)

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, bottom, left, right), half-open, at a view of `size` (H, W).

        Height and width depend on the place's sides alone, so a place and its controls have equal area. A shifted
        place stays inside.
        """
        height, width = size
        # Half a pixel is rounded up, with a margin for the last digits, so that equal sides are equal in pixels.
        tall = max(1, math.floor((self.bottom - self.top) * height + 0.5 + 1e-6))
        wide = max(1, math.floor((self.right - self.left) * width + 0.5 + 1e-6))
        top = min(max(round(self.top * height), 0), height - tall)
        left = min(max(round(self.left * width), 0), width - wide)
        return top, top + tall, left, left + wide

    def overlap(self, other: "Place") -> float:
        """The area that two places share, as a share of the smaller one."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down) / min(self.area, other.area)

    def touches(self, boxes: NDArray[np.floating]) -> bool:
        """Whether any box (M, 4) shares area with the place."""
        across, down = self._common(boxes)
        return bool(((across > 1e-9) & (down > 1e-9)).any())

    def shared(self, boxes: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The area that each box (M, 4) shares with the place, and that of the box: (M,), (M,)."""
        across, down = self._common(boxes)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return np.clip(across, 0, None) * np.clip(down, 0, None), areas

    def _common(self, boxes: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The width and the height that each box has in common with the place; negative where they lie apart."""
        across = np.minimum(self.right, boxes[:, 2]) - np.maximum(self.left, boxes[:, 0])
        down = np.minimum(self.bottom, boxes[:, 3]) - np.maximum(self.top, boxes[:, 1])
        return across, down

    def words(self) -> str:
        """Where it is, in words: top left, middle, bottom, …"""
        x, y = self.centre
        down = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
        across = "left" if x < 0.36 else "right" if x > 0.64 else ""
        return " ".join(word for word in (down, across) if word) or "middle"


def around(x: float, y: float, side: float) -> Place:
    """The square of side `side` around (x, y), moved inside the view where it would leave it."""
    side = min(side, 1.0)
    left, top = (float(np.clip(c - side / 2, 0, 1 - side)) for c in (x, y))
    return Place(left, top, min(left + side, 1.0), min(top + side, 1.0))


def of_cell(row: int, column: int, cells: int) -> Place:
    """The place of a cell of a `cells`×`cells` grid: larger than the cell, so that it holds what peaks there."""
    side = _SIDE.get(cells, 2 / cells)
    return around((column + 0.5) / cells, (row + 0.5) / cells, side)


def lattice(place: Place, step: float = 0.5) -> list[Place]:
    """Places of the same sides on a lattice of `step` sides, none of which shares area with `place`."""
    wide, tall = place.right - place.left, place.bottom - place.top
    lefts = np.linspace(0, 1 - wide, max(2, round((1 - wide) / (step * wide)) + 1)) if wide < 1 else [0.0]
    tops = np.linspace(0, 1 - tall, max(2, round((1 - tall) / (step * tall)) + 1)) if tall < 1 else [0.0]
    everywhere = [Place(float(x), float(y), float(x + wide), float(y + tall)) for y in tops for x in lefts]
    return [p for p in everywhere if p.overlap(place) < 1e-9]


def mass(grid: NDArray[np.floating], places: list[Place]) -> NDArray[np.float64]:
    """The share of a mask's mass (h, w) in each place; zero for an empty mask."""
    h, w = grid.shape
    boxes = np.array([(p.left, p.top, p.right, p.bottom) for p in places]).reshape(-1, 4)
    across = np.clip(
        np.minimum(boxes[:, 2, None] * w, np.arange(1, w + 1))
        - np.maximum(boxes[:, 0, None] * w, np.arange(w)),
        0,
        None,
    )
    down = np.clip(
        np.minimum(boxes[:, 3, None] * h, np.arange(1, h + 1))
        - np.maximum(boxes[:, 1, None] * h, np.arange(h)),
        0,
        None,
    )
    total = float(grid.sum(dtype=np.float64))
    inside = np.einsum("pi,ij,pj->p", down, grid.astype(np.float64), across)
    return inside / total if total > 0 else np.zeros(len(places))
