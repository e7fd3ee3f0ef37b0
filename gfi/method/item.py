"""What the engine explains: one prepared image and the question about it."""

from dataclasses import dataclass
from typing import Any

from gfi.method.preprocess import Prepared


@dataclass(frozen=True, eq=False)
class Item:
    """One image to explain."""

    key: Any
    """The caller's own: `Explanation.key` repeats it."""
    prepared: Prepared
    target: int | None = None
    """The class to explain; None for the predicted class."""
    foil: int | None = None
    """A class B, for the question "why the target A rather than B": f_A/(f_A + f_B) then takes the place of f_A."""
