"""The fills of deletion and insertion: what replaces pixels of the photograph. All in normalised units.

The mean colour is here what the network's normalisation subtracts, `Preprocess.mean`: zero after it.

A mask optimised with one fill may satisfy the network with that fill only, so a score is also taken with fills that
the optimiser never used: `mean_colour`, `blurred`, `white_noise`, and `imputation`, the noisy linear imputation of
ROAD. There every missing pixel is the weighted mean of its eight neighbours, known or missing (weights 1/6 for the
horizontal and vertical ones, 1/12 for the diagonal ones; neighbours beyond the border are left out),

    Σ_j w_ij · x_i = Σ_j w_ij · x_j      for every missing i,

plus a little noise. It is smooth and continues the known colours into the holes, so it reveals less about the *shape*
of the removed part than a uniform colour does. The equations are symmetric and positive definite; conjugate gradients
solve them on the image itself, without building a matrix.

References
----------
Rong, Leemann, Borisov, Kasneci, Kasneci, "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
ICML 2022 (ROAD).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gfi.method import fills

NOISE = 0.05
"""Standard deviation of the imputation's noise, in normalised units: ROAD's 0.01 for images in [0, 1]."""


def mean_colour(images: Tensor) -> Tensor:
    """The mean that the network's normalisation subtracts, zero after it: a tensor like `images`, (N, C, H, W)."""
    return torch.zeros_like(images)


def blurred(images: Tensor) -> Tensor:
    """The images (N, C, H, W), normalised, blurred by a Gaussian of σ = 11 pixels with reflected borders."""
    return torch.stack([fills.blur(image) for image in images]) if len(images) else images


def white_noise(images: Tensor, seed: int = 0) -> Tensor:
    """Noise from N(0, 1) like `images`, (N, C, H, W): one draw (C, H, W) from `seed`, the same for every image."""
    return fills.noise(tuple(images.shape[1:]), seed).to(images).expand_as(images)


def imputation(
    noise: float = NOISE, seed: int = 0, tolerance: float = 1e-2, steps: int = 1000
) -> Callable[[Tensor, Tensor], Tensor]:
    """Noisy linear imputation, as the `fill` of `deletion` and `insertion`.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise in imputed pixels, in normalised units.
    seed : int
        Seed of the noise, which is the same for every image.
    tolerance, steps : float, int
        When the solver stops, see `linear`.

    Returns
    -------
    callable
        Images (B, C, H, W) and known pixels (B, 1, H, W) bool to images (B, C, H, W); known pixels are unchanged.

    References
    ----------
    Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 0.0, 3.0]]]])
    >>> known = torch.tensor([[[[True, False, True]]]])
    >>> imputation(noise=0.0)(image, known)
    tensor([[[[1., 2., 3.]]]])
    """

    def impute(images: Tensor, known: Tensor) -> Tensor:
        smooth = linear(images, known, tolerance, steps)
        return torch.where(known, images, smooth + noise * white_noise(images, seed))

    return impute


@torch.no_grad()
def linear(images: Tensor, known: Tensor, tolerance: float = 1e-2, steps: int = 1000) -> Tensor:
    """Linear imputation without noise: every unknown pixel is the weighted mean of its neighbours.

    At the default tolerance and 224 × 224 the mean error is 0.02 where 4 % of the pixels are known and 0.001 where
    96 % are, which is below the noise of `imputation`.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), normalised; values at unknown pixels are ignored.
    known : Tensor
        (N, 1, H, W), bool.
    tolerance : float
        The norm of the residual, relative to that of the right-hand side, at which a channel is solved.
    steps : int
        The largest number of conjugate-gradient iterations. Every image and channel is solved separately.

    Returns
    -------
    Tensor
        (N, C, H, W) like `images`; zero, the mean colour, where an image has no known pixel.
    """
    if images.dtype in (torch.float16, torch.bfloat16):  # too coarse to compute the residual
        return linear(images.float(), known, tolerance, steps).to(images)
    missing = (~known).to(images)
    diagonal = _neighbours(torch.ones_like(images[:1]))

    images = torch.where(known, images, 0.0)  # a product would keep what is not finite
    right = missing * _neighbours(images)
    x = missing * _coarse(images, known, tolerance, steps)
    residual = right - missing * (diagonal * x - _neighbours(x))
    direction = scaled = residual / diagonal
    energy = _dot(residual, scaled)
    enough = _dot(right, right) * tolerance**2
    for _ in range(steps):
        unsolved = _dot(residual, residual) > enough
        if not unsolved.any():
            break
        image = missing * (diagonal * direction - _neighbours(direction))
        # A solved channel is not changed while others continue: its next step would be 0/0.
        step = torch.where(unsolved, energy / _dot(direction, image), 0.0)
        x = x + step * direction
        residual = residual - step * image
        scaled = residual / diagonal
        next_energy = _dot(residual, scaled)
        direction = scaled + torch.where(unsolved, next_energy / energy, 0.0) * direction
        energy = torch.where(unsolved, next_energy, energy)
    return torch.where(known, images, x)


def _neighbours(x: Tensor) -> Tensor:
    """Σ_j w_ij · x_j over the eight neighbours, which are zero beyond the border.

    The kernel is [1 2 1]ᵀ[1 2 1] without its centre, applied by adding shifted images: 12 times as fast as a
    depthwise convolution.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    across = padded[..., :-2] + padded[..., 2:] + 2 * padded[..., 1:-1]
    total = across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]
    return (total - 4 * x) / 12


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each channel: (N, C, 1, 1)."""
    return (a * b).sum((2, 3), keepdim=True)


def _coarse(images: Tensor, known: Tensor, tolerance: float, steps: int) -> Tensor:
    """A first guess (N, C, H, W): the solution at half the size, where distant known pixels are close together.

    Conjugate gradients alone propagate a colour by one pixel per step: 328 steps for a 224 × 224 image of which 4 % is
    known.
    """
    if min(images.shape[2:]) < 8:
        return torch.zeros_like(images)
    weight = F.avg_pool2d(known.to(images), 2, ceil_mode=True)
    colour = F.avg_pool2d(images * known, 2, ceil_mode=True)
    seen = weight > 0
    half = linear(torch.where(seen, colour / weight, 0.0), seen, tolerance, steps)
    return F.interpolate(half, images.shape[2:], mode="bilinear", align_corners=False)
