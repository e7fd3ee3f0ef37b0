"""Arrays, and images of other than one or three channels."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from gfi.datasets.decode import Limits, decode, decode_for
from gfi.datasets.errors import DecodeError
from gfi.domain.preprocess import Preprocess
from gfi.domain.window import Window

FIVE = np.linspace(-1, 1, 6 * 8 * 5, dtype=np.float32).reshape(6, 8, 5)
RANGE = Window(-1, 1)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def pages(array: np.ndarray, tags: dict[int, int] | None = None) -> bytes:
    """tags: of the last page."""
    images = [Image.fromarray(array[..., i].copy()) for i in range(array.shape[2])]
    return tiff(images, tags)


def tiff(images: list[Image.Image], tags: dict[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    with AppendingTiffWriter(out, new=True) as file:
        for image in images:
            image.save(file, "TIFF", tiffinfo=(tags or {}) if image is images[-1] else {})
            file.newFrame()
    return out.getvalue()


@pytest.mark.parametrize(
    "data", [npy(FIVE), npy(FIVE.transpose(2, 0, 1)), npy(np.asfortranarray(FIVE)), pages(FIVE)]
)
@pytest.mark.parametrize(
    ("shown", "seen"),
    [(None, [0, 1, 2]), ((3, 2, 1), [2, 1, 0]), ((5, 5, 1), [4, 4, 0]), ((4,), [3, 3, 3])],
)
def test_five_channels_keep_their_values_and_people_see_those_that_are_shown(
    data: bytes, shown: tuple[int, ...] | None, seen: list[int]
) -> None:
    shape = Preprocess((6, 8), 5, (0.5,) * 5, (0.5,) * 5, window=RANGE, shown=shown)
    photograph = decode_for(data, shape)
    assert photograph.planes is not None
    assert photograph.planes.dtype == np.float32
    np.testing.assert_allclose(photograph.seen, (FIVE + 1) / 2, atol=1e-7)
    np.testing.assert_allclose(photograph.rgb, (FIVE[..., seen] + 1) / 2 * 255, atol=0.51)
    assert photograph.size == (6, 8)


def test_an_array_of_one_or_three_channels_is_a_photograph() -> None:
    colours = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    photograph = decode(npy(colours))
    assert np.array_equal(photograph.rgb, colours)
    assert (photograph.planes, photograph.window, photograph.format) == (None, None, "NPY")
    grey = decode(npy(np.array([[0.0, 0.5, 2.0]])), window=Window(0, 1))
    assert grey.rgb[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    assert str(grey.window) == "0 is black and 1 white (input.window)"


def test_bytes_are_not_stretched_by_the_window_of_other_values() -> None:
    white = np.full((6, 8, 5), 255, np.uint8)
    for data in (npy(white), pages(white)):
        photograph = decode(data, window=Window(0, 4095), channels=5)
        assert photograph.seen.min() == 1
        assert photograph.window is None


def test_a_page_with_white_as_zero_is_inverted() -> None:
    black = np.zeros((6, 8, 5), np.uint16)
    seen = decode(pages(black, {262: 0}), window=Window(0, 4095), channels=5).seen
    assert seen[0, 0].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("own", [2, 4, 5])
def test_other_channels_are_shown_to_people_and_never_to_a_network_for_photographs(own: int) -> None:
    values = np.arange(8 * 9 * own, dtype=np.uint8).reshape(8, 9, own)
    data = npy(values)
    assert np.array_equal(decode_for(data, None).rgb, values[..., [0, 0, 0] if own == 2 else [0, 1, 2]])
    for channels in (1, 3):
        with pytest.raises(DecodeError, match=f"it has {own} channels; the model takes {channels}"):
            decode(data, channels=channels)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (npy(np.zeros((6, 8, 4), np.uint8)), "it has 4 channels; the model takes 5"),
        (npy(FIVE)[:-4], "its header says 960 bytes and 956 follow"),
        (npy(np.array([[None]], object)), "an array of object"),
        (npy(np.zeros((6, 8, 5), complex)), "an array of complex128"),
        (npy(np.zeros((70, 8, 70), np.uint8)), "an array of 70×8×70; an image is"),
        (npy(np.zeros((60, 80, 5), np.uint8)), "24,000 values; the limit for this kind of file is 10,000"),
        (npy(FIVE * np.nan), "not numbers"),
        (npy(FIVE)[:8] + b"\xff\xff" + npy(FIVE)[10:], "not a readable NPY"),
        (pages(FIVE[..., :4]), "it has 4 pages; the model takes 5 channels"),
        (pages(np.zeros((6, 8, 6), np.uint8)), "more than 5 pages"),
        (pages(np.zeros((6, 8, 5), np.uint8), {339: 2}), "signed 8-bit samples"),
        (pages(FIVE, {274: 6}), "is not turned; save it upright"),
        (
            tiff([Image.new("I;16", (8, 6)), *[Image.new("L", (8, 6))] * 4]),
            "page 2 is of kind L and page 1 of kind I;16",
        ),
        (pages(np.zeros((60, 80, 5), np.uint8)), "60 pixels of 5 pages; the limit is 10,000 values"),
    ],
)
def test_what_is_not_five_channels_is_refused_with_the_reason(data: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode(data, Limits(pixels=10_000), RANGE, 5)


def test_floats_need_a_range_and_other_files_have_too_few_channels() -> None:
    with pytest.raises(DecodeError, match=r"values of float32 .* state their range.*input\.window"):
        decode(npy(FIVE), channels=5)
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "PNG")
    with pytest.raises(
        DecodeError, match=r"takes 5 channels: a \.npy file, or a TIFF of 5 grey pages, not PNG"
    ):
        decode(out.getvalue(), channels=5)
