"""Properties and thumbnail of a decoded photograph."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.decode import Photograph
from gfi.report.photograph_properties import MOST_BYTES, properties_of, thumbnail

NOISE = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)


@pytest.mark.parametrize("rgb", [NOISE, NOISE[:40, :64], NOISE[:1, :1], np.repeat(NOISE[:1], 3000, 0)])
def test_a_thumbnail_is_a_small_jpeg_whatever_the_photograph(rgb: np.ndarray) -> None:
    data = thumbnail(rgb)
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    assert max(image.size) == min(64, max(rgb.shape[:2]))
    assert len(data) <= MOST_BYTES


def test_properties_do_not_depend_on_the_resolution_of_the_file() -> None:
    """The same picture at 256 and at 1024 pixels."""
    picture = Image.fromarray(NOISE[:24, :24])
    small, large = (
        np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)) for size in (256, 1024)
    )
    one, other = (properties_of(Photograph(rgb, rgb.shape[:2], "PNG")) for rgb in (small, large))
    assert one == pytest.approx(other, abs=0.05)


def test_numbers_are_as_parts_store_them_and_nothing_is_made_up() -> None:
    found = properties_of(Photograph(NOISE, (600, 400), "JPEG", jpeg_quality=75.3))
    assert all(float(np.float32(value)) == value for value in found.values())
    assert found["aspect"] == pytest.approx(400 / 600)
    assert found["jpeg_quality"] == pytest.approx(75.3)
    dot = properties_of(Photograph(NOISE[:1, :1], (1, 1), "PNG"))
    assert "sharpness" not in dot
    assert "jpeg_quality" not in dot
