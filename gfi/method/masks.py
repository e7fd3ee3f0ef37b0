"""From channel weights to a map, and from a mask to the kept and the removed part of the image.

    grid   g = Σ_i ω_i · f_i^{l1}(x)                                       (Eq. 6)
    mask   m from g: `gfi.method.parts.normalisations`                     (Eq. 7)
    Φ      = x⊙m + p⊙(1−m),   Φ_bg = x⊙(1−m) + p⊙m                         (Eq. 2, 4)

All functions are batched and never mix the rows of a batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gfi.domain import geometry
from gfi.method import batch_invariance


class Upsampling(NamedTuple):
    """Bilinear up-sampling as two matrix products, from a grid (h, w) to (H, W)."""

    rows: Tensor
    """U_h, (H, h)."""
    columns: Tensor
    """U_w, (W, w)."""

    @classmethod
    def between(cls, coarse: Tensor, fine: Tensor, align_corners: bool) -> "Upsampling":
        """From the grid of (…, h, w) to that of (…, H, W), in the dtype and on the device of `fine`."""
        rows, columns = (
            torch.tensor(geometry.matrix(coarse.shape[axis], fine.shape[axis], align_corners))
            for axis in (-2, -1)
        )
        return cls(rows.to(fine), columns.to(fine))

    def __call__(self, grid: Tensor) -> Tensor:
        """U_h · g · U_wᵀ, (B, h, w) → (B, H, W)."""
        n = len(grid)
        tall = batch_invariance.matrix_product(self.rows.expand(n, -1, -1), grid)
        return batch_invariance.matrix_product(tall, self.columns.T.expand(n, -1, -1))


class Mask(NamedTuple):
    """A batch of masks, before and after up-sampling."""

    image: Tensor
    """(B, 1, H, W), in [0, 1] for features that are not negative."""
    grid: Tensor
    """(B, h, w), scaled so that up-sampling it gives `image`."""
    valid: Tensor
    """(B,) bool: the map was finite and not constant. Where False, `image` and `grid` have no meaning."""


def combine(omega: Tensor, features: Tensor) -> Tensor:
    """Σ_i ω_i · f_i  (Eq. 6): (B, K) and (B, K, h, w) → (B, h, w)."""
    b, k, h, w = features.shape
    return batch_invariance.matrix_product(omega.unsqueeze(1), features.reshape(b, k, h * w)).view(b, h, w)


def soft_threshold(grid: Tensor, upsample: Upsampling, area: Tensor, softness: float) -> Tensor:
    """The highest cells of each map as a soft mask:

        m_a = U_h · σ((g − q_a)/(τ s)) · U_wᵀ

    grid: g, (B, h, w). area: a, (B,), the share of cells to keep, in (0, 1). softness: τ. Returns (B, 1, H, W).

    q_a lies half-way between the last cell inside and the first outside; s is the standard deviation of the map. Both
    are constants to the gradient, which moves cells across the threshold, not the threshold across cells.
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
    """φ from the features of one layer, (B, K, h, w): each channel minus its mean over the map, then all divided by one
    number, so that Σ_i φ_i² is 1 on average over the cells. Constant features give zeros."""
    centred = features - features.mean((2, 3), keepdim=True)
    size = centred.square().sum(1).mean((1, 2)).sqrt()
    return centred / torch.where(size > 0, size, torch.ones_like(size)).view(-1, 1, 1, 1)


def blend(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """Guided inversion Φ(x, m) = x⊙m + p⊙(1−m)  (Eq. 2).

    image, fill: (B, C, H, W); mask: (B, 1, H, W) in [0, 1]. Returns (B, C, H, W).

    >>> blend(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.full((1, 1, 2, 2), 0.25)).unique()
    tensor([0.2500])
    """
    return torch.lerp(fill, image, mask)


def blend_background(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """The complement Φ_bg(x, m) = x⊙(1−m) + p⊙m  (Eq. 4); shapes as in `blend`."""
    return torch.lerp(image, fill, mask)
