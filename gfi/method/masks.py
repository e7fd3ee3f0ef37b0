"""From channel weights to a mask, and from a mask to the two images the network is asked about.

    grid   g = Σ_i ω_i · f_i^{l1}(x)                                       (Eq. 6)
    mask   m from g: `gfi.method.parts.normalisations`                     (Eq. 7)
    Φ      = x⊙m + p⊙(1−m),   Φ_bg = x⊙(1−m) + p⊙m                         (Eq. 2, 4)

All functions are batched and never mix rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gfi.domain import interpolation
from gfi.method import batch_invariance


class Upsampling(NamedTuple):
    """The two interpolation matrices: rows (H, h), columns (W, w)."""

    rows: Tensor
    columns: Tensor

    @classmethod
    def between(cls, coarse: Tensor, fine: Tensor, align_corners: bool) -> "Upsampling":
        """From the grid of (…, h, w) to that of (…, H, W), in the dtype and on the device of `fine`."""
        rows, columns = (
            torch.tensor(interpolation.matrix(coarse.shape[axis], fine.shape[axis], align_corners))
            for axis in (-2, -1)
        )
        return cls(rows.to(fine), columns.to(fine))

    def __call__(self, grid: Tensor) -> Tensor:
        """U_h · g · U_wᵀ, (B, h, w) → (B, H, W)."""
        n = len(grid)
        tall = batch_invariance.product(self.rows.expand(n, -1, -1), grid)
        return batch_invariance.product(tall, self.columns.T.expand(n, -1, -1))


class Mask(NamedTuple):
    """A batch of masks and what they were made from."""

    image: Tensor
    """(B, 1, H, W), in [0, 1] for features that are not negative."""
    grid: Tensor
    """(B, h, w), scaled so that up-sampling it gives `image`."""
    valid: Tensor
    """(B,) bool: the map was finite and not constant. Elsewhere `image` and `grid` mean nothing."""


def combine(omega: Tensor, features: Tensor) -> Tensor:
    """Σ_i ω_i · f_i  (Eq. 6): (B, K) and (B, K, h, w) → (B, h, w)."""
    b, k, h, w = features.shape
    return batch_invariance.product(omega.unsqueeze(1), features.reshape(b, k, h * w)).view(b, h, w)


def threshold(grid: Tensor, upsample: Upsampling, area: Tensor, softness: float) -> Tensor:
    """The highest part of each map (B, h, w), about the share `area` (B,) of it, as a soft mask (B, 1, H, W):

        m_a = U_h · σ((g − q_a)/(τ s)) · U_wᵀ

    q_a: half-way between the last cell inside and the first outside; s: the map's standard deviation. Both
    count as constants: the gradient moves cells over the threshold, not the threshold over cells.
    """
    cells = grid.detach().flatten(1).sort(dim=1, descending=True).values
    inside = (area * cells.shape[1]).round().long().clamp(1, cells.shape[1] - 1).unsqueeze(1)
    edge = (cells.gather(1, inside - 1) + cells.gather(1, inside)).squeeze(1) / 2
    spread = (cells - cells.mean(1, keepdim=True)).square().mean(1).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    steepness = (softness * spread).view(-1, 1, 1)
    return upsample(
        batch_invariance.by_row(torch.sigmoid, (grid - edge.view(-1, 1, 1)) / steepness)
    ).unsqueeze(1)


def centre(features: Tensor) -> Tensor:
    """φ from one layer's features (B, K, h, w): each channel less its mean over the map, then all divided by
    one number, so that Σ_i φ_i² is 1 on average over the cells. Rows whose features are constant give zeros."""
    moved = features - features.mean((2, 3), keepdim=True)
    size = moved.square().sum(1).mean((1, 2)).sqrt()
    return moved / torch.where(size > 0, size, torch.ones_like(size)).view(-1, 1, 1, 1)


def blend(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """Guided inversion Φ(x, m) = x⊙m + p⊙(1−m)  (Eq. 2).

    image, fill: (B, C, H, W); mask: (B, 1, H, W) in [0, 1]. Returns (B, C, H, W).
    """
    return torch.lerp(fill, image, mask)


def blend_background(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """Its complement Φ_bg(x, m) = x⊙(1−m) + p⊙m  (Eq. 4); shapes as `blend`."""
    return torch.lerp(image, fill, mask)
