"""Where the optimisation starts: `Recipe.start`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method.masks import Upsampling
from gfi.method.network import Network


class Started(NamedTuple):
    """The first weights, and the map they are added to."""

    omega: Tensor
    """ω_0, (B, K)."""
    base: Tensor | None
    """(B, h, w); None for zero."""


class Start(Protocol):
    """Gives ω_0 and the map below it."""

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> Started:
        """images: (B, C, H, W); features: f^{l1}, (B, K, h, w); target, foil: (B,), −1 for no foil."""
        ...


class UniformStart:
    """ω_i = 0.1 (`omega_start`) for every channel i: g_0 = 0.1 · Σ_i f_i^{l1}."""

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> Started:
        return Started(images.new_full(features.shape[:2], recipe.omega_start), None)


class GradCamStart:
    """ω = 0 on top of Grad-CAM's map at l0, brought to the grid of l1 and divided by its largest absolute value:

        g_0 = G/max|G|,   G = Σ_k α_k f_k^{l0},   α_k = mean of ∂y_c/∂f_k^{l0}

    Where nothing speaks for the class - one that was asked for, not predicted - the map begins with what speaks least
    against it: G − min G.
    """

    def __call__(
        self, recipe: Recipe, network: Network, images: Tensor, features: Tensor, target: Tensor, foil: Tensor
    ) -> Started:
        grid = network.grad_cam(images, target, foil)
        if grid.shape != (len(images), *features.shape[2:]):
            grid = Upsampling.between(grid, features, align_corners=False)(grid)
        low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
        grid = torch.where(high > 0, grid, grid - low)
        largest = grid.abs().amax((1, 2), keepdim=True)
        base = grid / torch.where(largest > 0, largest, torch.ones_like(largest))
        return Started(images.new_full(features.shape[:2], 0.0), base)


STARTS: Mapping[str, type[Start]] = {"even": UniformStart, "grad-cam": GradCamStart}
