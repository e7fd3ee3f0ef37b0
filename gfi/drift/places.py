"""Places of a frame in words: nine regions, and directions.

The middle region spans the middle half of each side, so that a corner has a sixteenth of the area.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gfi.drift.distances import CELLS

_ROWS = ("upper", "", "lower")
_COLUMNS = ("left", "", "right")
_EDGES = (0, CELLS // 4, CELLS - CELLS // 4, CELLS)
LEAST_SHIFT = 0.02
"""A shorter mean shift, in widths of the frame, is reported without a direction."""


def place(row: int, column: int) -> str:
    """The name of the region in row and column 0, 1 or 2.

    >>> place(2, 0), place(0, 1), place(1, 1)
    ('lower left corner', 'upper edge', 'centre')
    """
    words = [word for word in (_ROWS[row], _COLUMNS[column]) if word]
    return " ".join([*words, ("centre", "edge", "corner")[len(words)]]) if words else "centre"


def gained_place(gain: NDArray[np.floating]) -> str | None:
    """Where masks increased most: the region with the highest mean of `gain` (28, 28); None if nothing increased."""
    means = np.array(
        [
            [gain[top:bottom, left:right].mean() for left, right in pairwise(_EDGES)]
            for top, bottom in pairwise(_EDGES)
        ]
    )
    if not means.max() > 0:
        return None
    row, column = divmod(int(means.argmax()), 3)
    return place(row, column)


def direction(shift_x: float, shift_y: float) -> str | None:
    """The direction of a shift, in widths and heights of the frame (right and down): one of eight, None if short.

    >>> direction(-0.2, 0.15), direction(0.3, 0.01)
    ('the lower left', 'the right')
    """
    if not math.hypot(shift_x, shift_y) >= LEAST_SHIFT:
        return None
    eighth = round(math.atan2(shift_y, shift_x) / (math.pi / 4)) % 8
    names = ("right", "lower right", "bottom", "lower left", "left", "upper left", "top", "upper right")
    return f"the {names[eighth]}"
