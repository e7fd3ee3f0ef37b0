"""How the weights move: `Recipe.search`."""

from collections.abc import Mapping
from typing import Protocol, Self

from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method.parts.adam import Adam
from gfi.method.parts.map_relative_descent import MapRelativeDescent


class Step(Protocol):
    """The rule of a step, with its state for B rows of K weights."""

    def __init__(self, recipe: Recipe, omega: Tensor, features: Tensor, start: Tensor) -> None:
        """omega: (B, K); features: φ, (B, K, h, w); start: g_0, (B, h, w)."""

    def reset(self) -> None:
        """Begin anew in every row."""

    def take(self, slot: int, other: Self, row: int) -> None:
        """Row `row` of `other` goes on in `slot` here."""

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K), not yet clipped.

        gradient: (B, K). count: (B,), steps of the row since the state began. halving: the rate halves every few steps.
        """
        ...


STEPS: Mapping[str, type[Step]] = {"adam": Adam, "relative": MapRelativeDescent}
