"""Properties of the whole image, which a mask cannot show: brightness, tint, sharpness, borders …

They are measured once, by the worker that has the image decoded, and stored in its part (`gfi.store.parts`); the audit
compares them between classes. Loads numpy, no torch.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PROPERTIES: Mapping[str, str] = {
    "brightness": "Mean grey, from 0 (black) to 1 (white).",
    "contrast": "Standard deviation of grey, at most 0.5.",
    "saturation": "Mean over pixels of the largest minus the smallest of red, green and blue, from 0 (grey) to 1.",
    "red_green": "Tint: mean red minus mean green, from −1 to 1.",
    "yellow_blue": "Tint: mean of red and green minus mean blue, from −1 to 1.",
    "sharpness": "Logarithm of the mean squared difference of neighbouring grey pixels.",
    "border": "Share of the image that plain bars or a plain frame at its edges take.",
    "aspect": "Width divided by height.",
    "jpeg_quality": "Quality from 1 to 100 that the file's quantisation tables stand for; only of JPEG files.",
}
"""The names, in the order of the columns of a part, and what they mean."""
NAMED: Mapping[str, str] = {
    "red_green": "red to green tint",
    "yellow_blue": "yellow to blue tint",
    "border": "plain border",
    "aspect": "width by height",
    "jpeg_quality": "JPEG quality",
}
"""Names for people, where they are not the names of the columns."""
COMPARED: Mapping[str, tuple[str, str]] = {
    "brightness": ("darker", "brighter"),
    "contrast": ("of lower contrast", "of higher contrast"),
    "saturation": ("greyer", "more colourful"),
    "red_green": ("greener", "redder"),
    "yellow_blue": ("bluer", "yellower"),
    "sharpness": ("blurrier", "sharper"),
    "border": ("framed by narrower plain borders", "framed by wider plain borders"),
    "aspect": ("narrower", "wider"),
    "jpeg_quality": ("more strongly compressed", "less strongly compressed"),
}
"""What an image is that has less of a property, and more of it, than others."""
MEASURED_AT = 256
"""Images are reduced to this many pixels on the longer side before they are measured, so that sharpness does not depend
on the resolution of the camera, and a large photograph takes no longer than a small one."""
PLAIN = 8
"""The largest difference, of 255, between a pixel of a plain border and the border's corner."""


def pixel_properties(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The properties that follow from the pixels of images (N, H, W, 3): (N,) each; all but `jpeg_quality`.

    Sharpness is NaN for images of one pixel.
    """
    x = images.astype(np.float32) / 255
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    height, width = grey.shape[1:]
    steps = sum(
        (np.diff(grey, axis=axis) ** 2).mean((1, 2)) for axis in (1, 2) if grey.shape[axis] > 1
    ) + np.zeros(len(grey))
    values = {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "saturation": (x.max(-1) - x.min(-1)).mean((1, 2)),
        "red_green": (red - green).mean((1, 2)),
        "yellow_blue": ((red + green) / 2 - blue).mean((1, 2)),
        "sharpness": np.log(steps + 1e-6) if height * width > 1 else np.full(len(grey), np.nan),
        "border": np.array([_border(image) for image in images]),
        "aspect": np.full(len(grey), width / height),
    }
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def _border(image: NDArray[np.uint8]) -> float:
    """The share of an image (H, W, 3) outside the rectangle that is left when plain rows and columns are cut off."""
    height, width = image.shape[:2]
    upright, turned = image, image.transpose(1, 0, 2)
    top, left = (_plain_lines(lines, image[0, 0]) for lines in (upright, turned))
    bottom, right = (_plain_lines(lines[::-1], image[-1, -1]) for lines in (upright, turned))
    inner = max(height - top - bottom, 0) * max(width - left - right, 0)
    return 1 - inner / (height * width)


def _plain_lines(lines: NDArray[np.uint8], corner: NDArray[np.uint8]) -> int:
    """How many of the first lines (N, pixels, 3) have the colour of the corner (3,). Most images end at the first."""
    for count, line in enumerate(lines):
        if (np.abs(line.astype(np.int16) - corner) > PLAIN).any():
            return count
    return len(lines)
