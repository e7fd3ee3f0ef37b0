"""The quality of a JPEG is read from its tables as it was written."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.decode import decode
from gfi.datasets.jpeg_quality import jpeg_quality

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)


def saved(kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95])
def test_the_quality_is_that_of_the_encoder(quality: int) -> None:
    assert decode(saved("JPEG", quality=quality)).jpeg_quality == pytest.approx(quality, abs=1.5)


def test_other_formats_have_none() -> None:
    assert decode(saved("PNG")).jpeg_quality is None


def test_the_ends_of_the_scale_and_unusual_tables() -> None:
    assert jpeg_quality({0: [1] * 64}) == pytest.approx(98.5, abs=1.5)
    assert jpeg_quality({0: [65535] * 64}) == 1
    assert jpeg_quality({}) is None
    assert jpeg_quality({0: [16] * 63}) is None
