"""The mask of one image, as frozen data. Loads no torch."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.domain import geometry
from gfi.domain.statuses import ImageStatus

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Shown:
    """Where a mask lies. input_size: (H, W) of the network's input. box: the part of the photograph that the input
    shows, (left, top, right, bottom) in pixels of `original_size` (H, W)."""

    input_size: tuple[int, int]
    align_corners: bool
    original_size: tuple[int, int]
    box: geometry.Rectangle


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
    """(h, w), scaled to [0, 1]; `mask` draws it at the size of the input."""
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

    shown: Shown | None = None
    """Where the mask lies; None for an explanation that was made without a photograph."""

    @property
    def mask(self) -> NDArray[np.float32]:
        """The mask at the size of the network's input, (H, W) in [0, 1]."""
        shown = self._shown()
        return geometry.draw(self.grid, shown.input_size, shown.align_corners)

    def picture(self, photograph: NDArray[np.uint8] | None = None, darkest: float = 0.15) -> "Image.Image":
        """The mask as a picture.

        Parameters
        ----------
        photograph
            (H, W, 3) or (H, W) uint8, at any scale: what the mask marks is shown as it is and the rest darkened. None:
            the mask alone in grey, at the size of the input.
        darkest
            The brightness that remains where the mask is 0, in [0, 1].

        Raises
        ------
        ValueError
            For an array that is not a photograph.
        """
        from PIL import Image  # not installed with the client alone

        if photograph is None:
            return Image.fromarray(np.rint(self.mask * 255).astype(np.uint8))
        colours = photograph.shape[2:]
        if photograph.dtype != np.uint8 or photograph.ndim not in (2, 3) or colours not in ((), (3,)):
            raise ValueError(f"a photograph is (H, W, 3) uint8, not {photograph.shape} of {photograph.dtype}")
        shown = self._shown()
        size = (photograph.shape[0], photograph.shape[1])
        placed = geometry.place(self.mask, size, geometry.scaled(shown.box, shown.original_size, size))
        brightness = darkest + (1 - darkest) * placed
        brightness = brightness if photograph.ndim == 2 else brightness[..., None]
        return Image.fromarray(np.rint(photograph * brightness).astype(np.uint8))

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows."""
        if self.shown is None:
            return None
        out = io.BytesIO()
        self.picture().save(out, "PNG")
        return out.getvalue()

    def _shown(self) -> Shown:
        if self.shown is None:
            raise ValueError("this explanation does not say where its mask lies")
        return self.shown

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
