"""Properties of the whole image that a mask cannot show."""

import numpy as np
from numpy.typing import NDArray


def pixel_properties(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """brightness, contrast, saturation, red − green, yellow − blue and sharpness of images (N, H, W, 3): (N,) each.

    All but sharpness are in [−1, 1]; sharpness is the logarithm of the mean squared difference of neighbours.
    """
    x = images.astype(np.float32) / 255
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    steps = (np.diff(grey, axis=1) ** 2).mean((1, 2)) + (np.diff(grey, axis=2) ** 2).mean((1, 2))
    values = {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "saturation": (x.max(-1) - x.min(-1)).mean((1, 2)),
        "red - green": (red - green).mean((1, 2)),
        "yellow - blue": ((red + green) / 2 - blue).mean((1, 2)),
        "sharpness": np.log(steps + 1e-6),
    }
    return {name: value.astype(np.float64) for name, value in values.items()}
