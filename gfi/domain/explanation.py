"""The mask of one photograph, as frozen data. Loads no torch."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.domain.statuses import ImageStatus


@dataclass(frozen=True, eq=False)
class Explanation:
    """The mask of one photograph and what it does to the prediction."""

    index: int
    target: int
    prediction: int
    probability: float
    kept: float
    removed: float
    """f of the target: on the photograph, where only the masked part is kept, where only it is removed. With a
    foil its share f_A/(f_A + f_B)."""
    grid: NDArray[np.float32]
    """(h, w), scaled; `interpolation.draw(grid, input size, recipe.align_corners)` is the mask in [0, 1]."""
    iterations: int
    """Steps behind the mask: fewer than the recipe's where the image settled or froze."""
    status: ImageStatus
    area: float
    """Mean of the mask over the input, in [0, 1]."""
    loss: float
    fill: str
    """What stood in for removed pixels: "given" with the image, "input blurred", "mean" or "noise"."""
    foil: int | None = None
    """As in the `Item`. Where the prediction, taken for the target, is this class itself: status `constant`."""


class StepProgress(NamedTuple):
    """Told after every optimiser step."""

    step: int
    """Steps since the stream began; it always grows."""
    indices_in_flight: tuple[int, ...]
