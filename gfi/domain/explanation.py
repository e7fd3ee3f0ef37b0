"""The mask of one image, as frozen data. Loads no torch."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.domain.statuses import ImageStatus


@dataclass(frozen=True, eq=False)
class Explanation:
    """The mask of one image and what it does to the prediction.

    The three probabilities are those of the target class, in [0, 1]; with a foil B they are the target's share
    f_A/(f_A + f_B).
    """

    key: Any
    """`Item.key`, by which the caller identifies the image. The engine does not interpret it."""
    target: int
    """The class explained."""
    prediction: int
    """The class that the network predicts for the whole image."""
    probability: float
    """f of the target on the whole image."""
    kept: float
    """f of the target on Φ, where only the masked part is kept and the fill replaces the rest."""
    removed: float
    """f of the target on Φ_bg, where only the masked part is replaced by the fill."""
    grid: NDArray[np.float32]
    """(h, w), scaled to [0, 1]. `geometry.draw(grid, input size, recipe.align_corners)` is the mask."""
    iterations: int
    """Optimiser steps behind the mask: fewer than the recipe's if the image settled or froze."""
    status: ImageStatus
    """How far the mask can be relied on; decided in `gfi.method.statuses`."""
    area: float
    """Mean of the mask over the input, in [0, 1]."""
    loss: float
    """The objective at the last step that moved the weights."""
    fill: str
    """What replaced removed pixels: "given" with the image, "input blurred", "mean" or "noise"."""
    foil: int | None = None
    """The foil: the class that the target is contrasted with, or None. If no target was given and the network predicts
    the foil, the status is `constant`."""
    pooled: NDArray[np.float32] | None = None
    """The network's pooled features of the whole image, (D,): the input of its last linear layer. None for a network
    that has no such layer."""

    @property
    def index(self) -> int:
        """The key as a number: the position of the image in the input of `gfi.explain_many`."""
        number: int = self.key
        return number


class StepProgress(NamedTuple):
    """Reported to the caller after every optimiser step."""

    step: int
    """Steps since the stream began; it always grows."""
    in_flight: tuple[Any, ...]
    """The keys of the images that are being explained."""

    @property
    def indices_in_flight(self) -> tuple[int, ...]:
        """The keys as numbers, as in `Explanation.index`."""
        return self.in_flight
