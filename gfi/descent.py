"""Descent whose steps are measured on the map they change.

    Δω = −η · max|g_0| · ∂L/∂ω / max|Σ_i φ_i ∂L/∂ω_i|

A step moves no cell of the map g by more than the share η of the largest value it started from, whatever
the scale of loss, features or weights. The map then moves along −K ∂L/∂g with K = Σ_i φ_i φ_iᵀ: cells that the
network sees alike move together. Nothing is divided by a root of squared gradients and nothing is clipped.
"""

import torch
from torch import Tensor

from gfi import masks
from gfi.recipes import Recipe


class Relative:
    """The rule above for B rows of K weights."""

    def __init__(self, recipe: Recipe, features: Tensor, start: Tensor) -> None:
        """features: φ, (B, K, h, w); start: g_0, (B, h, w)."""
        self.recipe = recipe
        self.features = features
        self.unit = start.abs().amax((1, 2))
        """max|g_0|, (B,)."""

    def reset(self) -> None:
        """Nothing is kept from step to step."""

    def take(self, slot: int, other: "Relative", row: int) -> None:
        """Row `row` of `other` goes on in `slot` here; its features are the caller's to move."""
        self.unit[slot] = other.unit[row]

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K).

        count: (B,), updates of the row so far. halving: the rate halves every few steps.
        """
        rate = torch.full_like(self.unit, self.recipe.rate)
        if halving:
            rate = torch.ldexp(rate, -(count // self.recipe.halve_every))
        largest = masks.combine(gradient, self.features).abs().amax((1, 2))
        scale = torch.where(largest > 0, rate * self.unit / largest, torch.zeros_like(largest))
        return omega - scale.unsqueeze(1) * gradient
