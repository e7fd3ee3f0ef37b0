"""How the weights move: `Recipe.search`."""

from collections.abc import Mapping
from typing import Protocol, Self

from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method.parts.adam import Adam
from gfi.method.parts.map_relative_descent import MapRelativeDescent


class StepRule(Protocol):
    """The rule by which weights move, with its state for B rows of K weights."""

    def __init__(self, recipe: Recipe, omega: Tensor, features: Tensor, start: Tensor) -> None:
        """omega: ω, (B, K); features: φ, (B, K, h, w); start: the map g_0, (B, h, w)."""

    def reset(self) -> None:
        """Forget the gradients seen so far, in every row."""

    def copy_row(self, slot: int, other: Self, row: int) -> None:
        """Copy the state of row `row` of `other` into row `slot`."""

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K), not yet clipped.

        gradient: (B, K). count: (B,), updates of each row since its state was new. halving: whether the rate is halved
        every `halve_every` updates.
        """
        ...


STEP_RULES: Mapping[str, type[StepRule]] = {"adam": Adam, "relative": MapRelativeDescent}
