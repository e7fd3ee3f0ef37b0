"""What a metric puts where the photograph is not, all in normalised units.

An explanation optimised against one fill may please the network with that fill only. So a claim is
tried with fills the optimiser never saw: `mean_colour`, `blurred`, `white_noise`, and
`imputation()`, the noisy linear imputation of ROAD (Rong et al., ICML 2022): every missing pixel is
the weighted mean of its eight neighbours (1/6 beside and above, 1/12 across; weights beyond the border
left out), known and missing alike,

    Σ_j w_ij · x_i = Σ_j w_ij · x_j      for every missing i,

plus a little noise. It is smooth, carries the known colours into the holes, and so tells the network
less about the *shape* of what was removed than a flat colour does. The equations are symmetric and
positive definite: solved by conjugate gradients on the image, no matrix is built.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gfi import fill

NOISE = 0.05
"""Standard deviation of the imputation's noise; ROAD's 0.01 on [0, 1] images, in normalised units."""


def mean_colour(images: Tensor) -> Tensor:
    """Zero after normalisation, (N, C, H, W)."""
    return torch.zeros_like(images)


def blurred(images: Tensor) -> Tensor:
    """The images (N, C, H, W) under a Gaussian of σ = 11, reflected at the borders."""
    return torch.stack([fill.blur(image) for image in images]) if len(images) else images


def white_noise(images: Tensor, seed: int = 0) -> Tensor:
    """N(0, 1), one draw for all images, broadcast to (N, C, H, W)."""
    return fill.noise(tuple(images.shape[1:]), seed).to(images).expand_as(images)


def imputation(
    noise: float = NOISE, seed: int = 0, tolerance: float = 1e-3, steps: int = 1000
) -> Callable[[Tensor, Tensor], Tensor]:
    """The imputing fill for `deletion` and `insertion`: linear imputation plus N(0, noise²)."""

    def impute(images: Tensor, known: Tensor) -> Tensor:
        smooth = linear(images, known, tolerance, steps)
        shaken = smooth + noise * white_noise(images, seed)
        return torch.where(known, images, shaken)

    return impute


@torch.no_grad()
def linear(images: Tensor, known: Tensor, tolerance: float = 1e-3, steps: int = 1000) -> Tensor:
    """Images (N, C, H, W) with their unknown pixels solved for; known: (N, 1, H, W) bool.

    Solved to a residual of `tolerance` relative to the right-hand side, in at most `steps` iterations,
    every image and channel by itself. Where nothing is known the mean colour, zero, stays.
    """
    channels = images.shape[1]
    kernel = images.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]).div(12)[None, None]
    kernel = kernel.expand(channels, 1, 3, 3)
    missing = (~known).to(images)

    def neighbours(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=1, groups=channels)

    diagonal = neighbours(torch.ones_like(images[:1]))

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((2, 3), keepdim=True)

    right = missing * neighbours(images * known)
    x = torch.zeros_like(images)
    residual = right
    direction = scaled = residual / diagonal
    energy = dot(residual, scaled)
    enough = dot(right, right) * tolerance**2
    for _ in range(steps):
        open_ = dot(residual, residual) > enough
        if not open_.any():
            break
        image = missing * (diagonal * direction - neighbours(direction))
        # A solved channel keeps still (0/0 otherwise) while its neighbours go on.
        step = torch.where(open_, energy / dot(direction, image), 0.0)
        x = x + step * direction
        residual = residual - step * image
        scaled = residual / diagonal
        next_energy = dot(residual, scaled)
        direction = scaled + torch.where(open_, next_energy / energy, 0.0) * direction
        energy = torch.where(open_, next_energy, energy)
    return torch.where(known, images, x)
