"""Descent whose steps are measured on the map they change.

    Δω = −η · max|g_0| · ∂L/∂ω / max|Σ_i φ_i ∂L/∂ω_i|

A step moves no cell of the map g by more than the share η of the largest value it started from, whatever
the scale of loss, features or weights. The map then moves along −K ∂L/∂g with K = Σ_i φ_i φ_iᵀ: cells that the
network sees alike move together. Nothing is divided by a root of squared gradients and nothing is clipped, so
roundings stay roundings, where Adam under `paper` amplifies them.
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
        self.count = 0

    def reset(self) -> None:
        """The rate's halving counts from here."""
        self.count = 0

    def update(self, omega: Tensor, gradient: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K). halving: the rate halves every few steps."""
        rate = self.recipe.rate * (0.5 ** (self.count // self.recipe.halve_every) if halving else 1.0)
        self.count += 1
        largest = masks.combine(gradient, self.features).abs().amax((1, 2))
        scale = torch.where(largest > 0, rate * self.unit / largest, torch.zeros_like(largest))
        return omega - scale.unsqueeze(1) * gradient
