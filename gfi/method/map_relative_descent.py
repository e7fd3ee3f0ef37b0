"""Descent that takes a vote of every question before it moves, in steps measured on the map they change.

A turn asks once for each size a of the part and each fill p, all at the same weights; g_ap = ∂L_ap/∂ω. Then

    v = Σ_ap g_ap / max|Σ_i φ_i (g_ap)_i|,     Δω = −η · max|g_0| · v / max|Σ_i φ_i v_i|

Each question has one vote, whatever the scale of its loss: the loudest does not decide alone. A turn moves no
cell of the map g by more than the share η of the largest value it started from, whatever the scale of features
or weights. The map moves along −K Σ ∂L/∂g with K = Σ_i φ_i φ_iᵀ: cells that the network sees alike move
together. Nothing is divided by a root of squared gradients and nothing is clipped.

Moving after every question instead is as good a search and not a repeatable one: each move changes the next
question's gradient, and roundings grow by the move (docs/decisions/0010).
"""

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import masks


class Relative:
    """The rule above for B rows of K weights."""

    def __init__(self, recipe: Recipe, features: Tensor, start: Tensor) -> None:
        """features: φ, (B, K, h, w); start: g_0, (B, h, w)."""
        self.recipe = recipe
        self.features = features
        self.unit = start.abs().amax((1, 2))
        """max|g_0|, (B,)."""
        self.votes = torch.zeros_like(features[:, :, 0, 0])
        """v so far in this turn, (B, K)."""

    def reset(self) -> None:
        """A turn begins for every row."""
        self.votes = torch.zeros_like(self.votes)

    def take(self, slot: int, other: "Relative", row: int) -> None:
        """Row `row` of `other` goes on in `slot` here; its features are the caller's to move."""
        self.unit[slot], self.votes[slot] = other.unit[row], other.votes[row]

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K): moved where the row's turn ends.

        gradient: g_ap, (B, K). count: (B,), steps of the row so far. halving: the rate halves every few steps.
        """
        self.votes = self.votes + self._sized(gradient, 1.0)
        rate = torch.full_like(self.unit, self.recipe.rate)
        if halving:
            rate = torch.ldexp(rate, -(count // self.recipe.halve_every))
        ends = ((count + 1) % self.recipe.turn == 0).unsqueeze(1)
        moved = omega - self._sized(self.votes, rate * self.unit)
        self.votes = torch.where(ends, torch.zeros_like(self.votes), self.votes)
        return torch.where(ends, moved, omega)

    def _sized(self, weights: Tensor, size: Tensor | float) -> Tensor:
        """Weights (B, K) along `weights` whose map has the largest absolute value `size`, (B,); zeros stay zeros."""
        largest = masks.combine(weights, self.features).abs().amax((1, 2))
        scale = torch.where(largest > 0, size / largest, torch.zeros_like(largest))
        return scale.unsqueeze(1) * weights
