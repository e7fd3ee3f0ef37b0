"""The input of the engine: one prepared image, its target class and its foil."""

from dataclasses import dataclass
from typing import Any

from gfi.method.preprocess import Prepared


@dataclass(frozen=True, eq=False)
class Item:
    """One image to explain."""

    key: Any
    """Chosen by the caller, to identify the image: `Explanation.key` repeats it."""
    prepared: Prepared
    target: int | None = None
    """The class to explain; None for the predicted class."""
    foil: int | None = None
    """The foil B, with which the target A is contrasted: f_A/(f_A + f_B) then replaces f_A. None: no contrast."""
