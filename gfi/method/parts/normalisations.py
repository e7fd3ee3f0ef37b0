"""From a map g (B, h, w) to a mask (Eq. 7): `Recipe.normalise`.

Minimum and maximum are taken of each image separately. A constant map has no mask, as it would be 0/0: `Mask.valid`
is then false, and no ε hides it.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from gfi.method.masks import Mask, Upsampling


class Normalisation(Protocol):
    """Scales a map to a mask of the input size."""

    def __call__(self, grid: Tensor, upsample: Upsampling) -> Mask:
        """The masks of maps `grid`, (B, h, w)."""
        ...


class GridMinMax:
    """m = U_h · (g − min g)/(max g − min g) · U_wᵀ   (`paper`)"""

    def __call__(self, grid: Tensor, upsample: Upsampling) -> Mask:
        low, high = _extremes(grid)
        valid, span = _span(low, high, high - low)
        scaled = (grid - low) / span
        return Mask(upsample(scaled).unsqueeze(1), scaled, valid)


class ImageMax:
    """m = (M − min M)/max M with M = U_h · g · U_wᵀ, the maximum taken before subtracting   (`released`)"""

    def __call__(self, grid: Tensor, upsample: Upsampling) -> Mask:
        drawn = upsample(grid)
        low, high = _extremes(drawn)
        valid, span = _span(low, high, high)
        return Mask(((drawn - low) / span).unsqueeze(1), (grid - low) / span, valid)


class Rectified:
    """m = U_h · max(0, g)/max g · U_wᵀ   (`tuned`)"""

    def __call__(self, grid: Tensor, upsample: Upsampling) -> Mask:
        grid = grid.clamp_min(0)
        low, high = _extremes(grid)
        valid, span = _span(low, high, high)
        scaled = grid / span
        return Mask(upsample(scaled).unsqueeze(1), scaled, valid)


NORMALISATIONS: Mapping[str, type[Normalisation]] = {
    "grid": GridMinMax,
    "image": ImageMax,
    "rectified": Rectified,
}


def _extremes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of each row, (B, 1, 1)."""
    return values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)


def _span(low: Tensor, high: Tensor, span: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows have a mask, (B,), and the divisor, (B, 1, 1).

    The divisor of rows without a mask is 1, so that no NaN enters their gradient.
    """
    valid = (high > low) & (span > 0) & torch.isfinite(low) & torch.isfinite(high)
    return valid[:, 0, 0], torch.where(valid, span, torch.ones_like(span))
