"""Images of natural statistics that show nothing: dead leaves, a frozen bank of fills for removed pixels.

A dead-leaves image is a stack of opaque discs at random places, the first on top, each in one colour. With radii of
density ∝ r⁻³ it has what photographs have and a blur or a mean colour lacks: sharp edges between objects that hide one
another, the same at every scale, and a spectrum that falls with the frequency. A network takes it for an image, and it
holds no class.

    r = 1/√(a + (b − a)·u),   a = 1/r_min²,  b = 1/r_max²,   u uniform in [0, 1)

The discs are relative to the side of the image, so that 32 pixels show the same scene as 224. Everything follows from
the number of the image: Python's `random.Random` gives the same numbers in every version, and only additions, products
and roots follow.

References
----------
Lee, Mumford, Huang, "Occlusion Models for Natural Images", International Journal of Computer Vision 41, 2001.
"""

import math
import random
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.method.preprocess import Preprocess

COUNT = 8
"""Images of the bank."""
RADII = (0.03, 0.5)
"""r_min and r_max, as shares of the longer side."""
GREY, TINT = (0.07, 0.83), 0.14
"""A disc's grey is uniform in the first range; each channel differs from it by at most the second."""
MOST_DISCS = 3000
"""What is still bare after so many discs has the colour of the last one."""


def leaves(preprocess: Preprocess) -> Tensor:
    """The bank in the network's normalised units, (8, C, H, W) float64.

    >>> leaves(Preprocess((16, 16))).shape
    torch.Size([8, 3, 16, 16])
    """
    height, width = preprocess.size
    pixels = np.stack([dead_leaves(number, height, width) for number in range(COUNT)])
    if preprocess.channels != 3:
        pixels = pixels.mean(1, keepdims=True)  # the same in every channel
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (preprocess.mean, preprocess.std))
    return torch.from_numpy((pixels - mean) / std)


@lru_cache(maxsize=4 * COUNT)
def dead_leaves(number: int, height: int, width: int) -> NDArray[np.float64]:
    """Image `number` of the bank, (3, H, W) in [0, 1]."""
    draw = random.Random(number).random  # noqa: S311 - a picture, not a secret
    side = max(height, width)
    a, b = ((share * side) ** -2 for share in RADII)
    image = np.empty((3, height, width))
    bare = np.ones((height, width), dtype=bool)
    for _ in range(MOST_DISCS):
        radius = 1 / math.sqrt(a + (b - a) * draw())
        y, x = draw() * height, draw() * width
        grey = GREY[0] + (GREY[1] - GREY[0]) * draw()
        colour = [min(1.0, max(0.0, grey + TINT * (2 * draw() - 1))) for _ in range(3)]
        top, left = max(0, math.floor(y - radius)), max(0, math.floor(x - radius))
        window = slice(top, math.ceil(y + radius) + 1), slice(left, math.ceil(x + radius) + 1)
        rows, columns = np.ogrid[window[0].start : height, window[1].start : width]
        rows, columns = rows[: window[0].stop - top], columns[:, : window[1].stop - left]
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < radius * radius) & bare[window]
        image[:, *window][:, disc] = np.array(colour)[:, None]
        bare[window] &= ~disc
        if not bare.any():
            break
    image[:, bare] = np.array(colour)[:, None]
    return image
