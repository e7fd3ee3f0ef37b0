"""What a part stores of a photograph itself: properties of its pixels, and a thumbnail.

Both follow from the decoded photograph alone, by numpy and Pillow in one thread: no neighbour, batch or device changes
them.
"""

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.domain.pixel_properties import MEASURED_AT, pixel_properties
from gfi.report.overlays import shrink

if TYPE_CHECKING:
    from gfi.datasets.decode import Photograph

THUMBNAIL = 64
"""Pixels of the longer side of a thumbnail."""
MOST_BYTES = 2048
_QUALITIES = (75, 60, 45, 30, 15, 5)


def properties_of(photograph: "Photograph") -> dict[str, float]:
    """The properties of `gfi.domain.pixel_properties`, rounded to float32 as parts store them; without those that the
    photograph does not have."""
    small = shrink(photograph.rgb, MEASURED_AT)
    found = {name: float(value[0]) for name, value in pixel_properties(small[None]).items()}
    found["aspect"] = photograph.size[1] / photograph.size[0]
    if photograph.jpeg_quality is not None:
        found["jpeg_quality"] = photograph.jpeg_quality
    return {name: float(np.float32(value)) for name, value in found.items() if math.isfinite(value)}


def thumbnail(rgb: NDArray[np.uint8]) -> bytes:
    """The photograph (H, W, 3) as a JPEG of at most 64×64 pixels and 2048 bytes, of the best quality that fits."""
    image = Image.fromarray(np.ascontiguousarray(shrink(rgb, THUMBNAIL)))
    for quality in _QUALITIES:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()
