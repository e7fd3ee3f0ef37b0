"""From channel weights to a mask, and from a mask to the two images the network is asked about.

    grid   g = Σ_i ω_i · f_i^{l1}(x)                                       (Eq. 6)
    mask   m = U_h · (g − min g)/(max g − min g) · U_wᵀ                    (Eq. 7, `paper`)
           m = (M − min M)/max M with M = U_h · g · U_wᵀ                   (`released`)
    Φ      = x⊙m + p⊙(1−m),   Φ_bg = x⊙(1−m) + p⊙m                         (Eq. 2, 4)

All functions are batched and never mix rows: minimum and maximum are each image's own. A row whose
map is constant (all weights dead, or a flat combination) has no mask, 0/0; it is reported in `Mask.valid`
and the optimiser freezes that image at the step before. No ε hides it.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gfi import interpolation


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
        # bmm, not matmul: matmul folds the batch into the rows of one product, whose blocks may then
        # round a row differently by its place in the batch.
        n = len(grid)
        tall = torch.bmm(self.rows.expand(n, -1, -1), grid)
        return torch.bmm(tall, self.columns.T.expand(n, -1, -1))


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
    return torch.bmm(omega.unsqueeze(1), features.reshape(b, k, h * w)).view(b, h, w)


def normalise(grid: Tensor, upsample: Upsampling, how: Literal["grid", "image"]) -> Mask:
    """Scale the map (B, h, w) of each image to a mask of the input size (Eq. 7).

    how="grid": (g − min)/(max − min) on the grid, then up-sampled (`paper`); how="image": up-sampled, then
    (m − min)/max with the maximum taken before subtracting (`released`).
    """
    drawn = grid if how == "grid" else upsample(grid)
    low, high = drawn.amin((1, 2), keepdim=True), drawn.amax((1, 2), keepdim=True)
    span = high - low if how == "grid" else high
    valid = (high > low) & (span > 0) & torch.isfinite(low) & torch.isfinite(high)
    # Where there is no mask the divisor is 1, so that no NaN reaches the row's gradient; `valid` says so.
    span = torch.where(valid, span, torch.ones_like(span))
    scaled = (grid - low) / span
    image = upsample(scaled) if how == "grid" else (drawn - low) / span
    return Mask(image.unsqueeze(1), scaled, valid[:, 0, 0])


def blend(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """Guided inversion Φ(x, m) = x⊙m + p⊙(1−m)  (Eq. 2).

    image, fill: (B, C, H, W); mask: (B, 1, H, W) in [0, 1]. Returns (B, C, H, W).
    """
    return torch.lerp(fill, image, mask)


def blend_background(image: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """Its complement Φ_bg(x, m) = x⊙(1−m) + p⊙m  (Eq. 4); shapes as `blend`."""
    return torch.lerp(image, fill, mask)
