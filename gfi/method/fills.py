"""The removed-pixel image p of Eq. 2, which replaces removed pixels.

The paper names three: x blurred by a Gaussian of radius 11 (used in all its experiments), the ImageNet mean colour,
and white Gaussian noise. Radius 11 is taken as σ = 11, with 67 taps and reflected borders. The `released` preset blurs
the photograph at full resolution instead (`gfi.method.preprocess`).
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method.preprocess import Preprocess

IMAGENET_MEAN = (0.485, 0.456, 0.406)
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, with which Pillow converts RGB to grey


def make_fill(image: Tensor, preprocess: Preprocess, recipe: Recipe, kind: str | None = None) -> Tensor:
    """p for one normalised image (C, H, W), of the same shape, dtype and device.

    kind: "blur", "mean" or "noise"; None for the recipe's `fill`.

    One image at a time: a product over a whole batch might round an image differently by its slot.
    """
    kind = kind or recipe.fill
    if kind == "mean":
        return mean_colour(preprocess).to(image)[:, None, None].expand_as(image).contiguous()
    if kind == "noise":
        return noise(tuple(image.shape), recipe.seed).to(image)
    return blur(image, recipe.blur_radius, recipe.blur_kernel)


def blur(image: Tensor, sigma: float = 11.0, kernel: int = 67) -> Tensor:
    """G_h · x · G_wᵀ for each channel of an image (C, H, W): a Gaussian blur with reflected borders.

    sigma: σ in pixels. kernel: taps, odd. A convolution is linear along each axis, so it is a matrix. A matrix product
    is deterministic on every device, and it can blur an image that is smaller than the kernel.
    """
    _, height, width = image.shape
    rows = torch.tensor(gaussian_matrix(height, sigma, kernel)).to(image)
    columns = torch.tensor(gaussian_matrix(width, sigma, kernel)).to(image)
    n = len(image)
    return torch.bmm(torch.bmm(rows.expand(n, -1, -1), image), columns.T.expand(n, -1, -1))


@lru_cache(maxsize=16)
def gaussian_matrix(size: int, sigma: float, kernel: int) -> np.ndarray:
    """The (size, size) matrix of a normalised Gaussian of `kernel` taps with reflected borders.

    The reflection does not repeat the border pixel (… 2 1 | 0 1 2 …), as in torch's padding mode "reflect". It is
    periodic, for kernels that reach beyond the image.
    """
    reach = kernel // 2
    offsets = np.arange(-reach, reach + 1)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else (offsets == 0).astype(float)
    taps /= taps.sum()
    period = max(2 * (size - 1), 1)
    source = (np.arange(size)[:, None] + offsets) % period
    source = np.minimum(source, period - source) if size > 1 else np.zeros_like(source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), np.broadcast_to(taps, source.shape))
    return matrix


def mean_colour(preprocess: Preprocess) -> Tensor:
    """The ImageNet mean colour in the network's own normalised units, (C,) float64; of other than one or three channels
    the network's own mean, 0.

    >>> mean_colour(Preprocess((224, 224)))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    colour = np.array(IMAGENET_MEAN)
    if preprocess.channels not in (1, 3):
        return torch.zeros(preprocess.channels, dtype=torch.float64)
    if preprocess.channels == 1:
        colour = np.array([colour @ np.array(LUMA)])
    return torch.tensor((colour - np.array(preprocess.mean)) / np.array(preprocess.std))


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """White noise N(0, 1) in normalised units, float64, drawn on the CPU from `seed`: the same for every image."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
