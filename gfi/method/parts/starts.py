"""Where the optimisation starts: `Recipe.start`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method.masks import Upsampling
from gfi.method.network import Network


class StartingPoint(NamedTuple):
    """The first weights, and the map they are added to."""

    omega: Tensor
    """ω_0, (B, K)."""
    base: Tensor | None
    """(B, h, w); None for zero."""


class Start(Protocol):
    """Computes the starting point of a batch."""

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> StartingPoint:
        """images: (B, C, H, W); features: f^{l1}, (B, K, h, w); target, foil: classes, (B,), −1 for no foil."""
        ...


class UniformStart:
    """ω_i = omega_start for every channel i, not added to a map: g_0 = omega_start · Σ_i f_i^{l1}."""

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> StartingPoint:
        return StartingPoint(images.new_full(features.shape[:2], recipe.omega_start), None)


class GradCamStart:
    """ω = 0, added to Grad-CAM's map at l0, which is resized to the grid of l1 and divided by its largest absolute
    value:

        g_0 = G/max|G|,   G = Σ_k α_k f_k^{l0},   α_k = mean of ∂y_c/∂f_k^{l0}

    If no cell is positive, as can happen for a class that is not the predicted one, the map starts as G − min G.
    """

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> StartingPoint:
        grid = network.grad_cam(images, target, foil)
        if grid.shape != (len(images), *features.shape[2:]):
            grid = Upsampling.between(grid, features, align_corners=False)(grid)
        low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
        grid = torch.where(high > 0, grid, grid - low)
        largest = grid.abs().amax((1, 2), keepdim=True)
        base = grid / torch.where(largest > 0, largest, torch.ones_like(largest))
        return StartingPoint(images.new_full(features.shape[:2], 0.0), base)


STARTS: Mapping[str, type[Start]] = {"even": UniformStart, "grad-cam": GradCamStart}
