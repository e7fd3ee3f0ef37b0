"""Gradient descent on the average of the normalised gradients of all objective terms, in steps relative to the map.

A cycle of steps computes one gradient for each level a and each fill p, all at the same weights: g_ap = ∂L_ap/∂ω. Then

    v = Σ_ap g_ap / max|Σ_i φ_i (g_ap)_i|,     Δω = −η · max|g_0| · v / max|Σ_i φ_i v_i|

Each gradient is normalised by the largest change it makes to the map, so that no term dominates by the scale of its
loss. A cycle changes no cell of the map g by more than the share η of the largest value that the map started with,
whatever the scale of features and weights. The map moves along −K Σ ∂L/∂g with K = Σ_i φ_i φ_iᵀ: cells whose features
are alike move together. Nothing is divided by a root of squared gradients and nothing is clipped, so rounding errors
hardly grow.

Moving after every single gradient finds masks as good but is less reproducible: each move changes the next gradient,
and a rounding error grows with every move (docs/decisions/0010).
"""

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import masks


class MapRelativeDescent:
    """The rule above for B rows of K weights."""

    def __init__(self, recipe: Recipe, omega: Tensor, features: Tensor, start: Tensor) -> None:
        """omega: ω, (B, K); features: φ, (B, K, h, w); start: the map g_0, (B, h, w)."""
        self.recipe = recipe
        self.features = features
        self.unit = start.abs().amax((1, 2))
        """max|g_0|, (B,)."""
        self.direction = torch.zeros_like(features[:, :, 0, 0])
        """v so far in this cycle, (B, K)."""

    def reset(self) -> None:
        """Begin a cycle in every row."""
        self.direction = torch.zeros_like(self.direction)

    def copy_row(self, slot: int, other: "MapRelativeDescent", row: int) -> None:
        """Copy the state of row `row` of `other` into row `slot`; the caller copies its features."""
        self.unit[slot], self.direction[slot] = other.unit[row], other.direction[row]

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K): changed in rows whose cycle ends with this gradient.

        gradient: g_ap, (B, K). count: (B,), steps of the row so far. halving: whether the rate is halved every
        `halve_every` steps.
        """
        self.direction = self.direction + self._scaled(gradient, 1.0)
        rate = torch.full_like(self.unit, self.recipe.rate)
        if halving:
            rate = torch.ldexp(rate, -(count // self.recipe.halve_every))
        ends = ((count + 1) % self.recipe.cycle == 0).unsqueeze(1)
        moved = omega - self._scaled(self.direction, rate * self.unit)
        self.direction = torch.where(ends, torch.zeros_like(self.direction), self.direction)
        return torch.where(ends, moved, omega)

    def _scaled(self, weights: Tensor, size: Tensor | float) -> Tensor:
        """`weights`, (B, K), scaled so that their map's largest absolute value is `size`, (B,); zeros stay zeros."""
        largest = masks.combine(weights, self.features).abs().amax((1, 2))
        scale = torch.where(largest > 0, size / largest, torch.zeros_like(largest))
        return scale.unsqueeze(1) * weights
