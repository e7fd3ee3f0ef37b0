"""Samples of more than 8 bits: scaled by their depth, or refused. The tests write the files byte by byte."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.decode import Limits, decode
from gfi.datasets.errors import DecodeError
from gfi.domain.window import Window

RAMP = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (8, 1))
"""Grey from black to white, as it must come out."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, colour_type: int = 0, **chunks: bytes) -> bytes:
    """A PNG with 16 bits per sample; `chunks` come before the pixels."""
    height, width = samples.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    before = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def tiff(samples: np.ndarray, photometric: int = 1, compression: int = 1, **tags: int) -> bytes:
    """A TIFF of 16-bit grey or RGB. tags: `t281=4095`."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    raw = samples.astype("<u2").tobytes()
    data = zlib.compress(raw) if compression == 8 else raw
    values = {
        256: width,
        257: height,
        258: 16,
        259: compression,
        262: photometric,
        273: 0,
        277: channels,
        278: height,
        279: len(data),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    end = 8 + 2 + 12 * len(values) + 4
    values[273] = end + 2 * channels
    out = b"II*\0" + struct.pack("<IH", 8, len(values))
    for tag, value in sorted(values.items()):
        if tag == 258 and channels > 1:
            out += struct.pack("<HHII", tag, 3, channels, end)
        else:
            out += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
    return out + struct.pack("<I", 0) + struct.pack("<H", 16) * channels + data


def of_bits(bits: int) -> np.ndarray:
    """The ramp in whole numbers of this many bits."""
    return np.round(RAMP / 255 * (2**bits - 1)).astype(np.uint16)


def colours(bits: int) -> np.ndarray:
    """Three ramps: rising, falling, half."""
    ramp = of_bits(bits)
    return np.stack([ramp, ramp[:, ::-1], ramp // 2], axis=2)


def comes_out(data: bytes, expected: np.ndarray = RAMP, window: Window | None = None) -> str:
    """Check the pixels; returns the source of the value of white."""
    photograph = decode(data, window=window)
    wanted = expected if expected.ndim == 3 else expected[..., None].repeat(3, axis=2)
    assert np.abs(photograph.rgb.astype(int) - wanted).max() <= 1
    assert photograph.window is not None
    return photograph.window.source


def test_8_bits_have_no_window():
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "PNG")
    photograph = decode(buffer.getvalue(), window=Window(0, 4095))
    assert photograph.window is None
    assert np.array_equal(photograph.rgb[..., 0], RAMP)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_largest_value_that_a_tiff_states_is_white(bits):
    assert comes_out(tiff(of_bits(bits), t281=2**bits - 1)) == f"{bits} bits by the file"
    assert comes_out(tiff(of_bits(bits), t341=2**bits - 1)) == f"{bits} bits by the file"


def test_a_largest_value_short_of_the_last_still_means_whole_bits():
    assert (
        comes_out(tiff(np.minimum(of_bits(12), 4000), t281=4000), np.minimum(RAMP, 249))
        == "12 bits by the file"
    )


def test_a_largest_value_that_is_exceeded_says_nothing():
    assert comes_out(tiff(of_bits(16), t281=4095)) == "16 bits"


def test_a_tiff_of_12_bits_packed_is_read_by_its_depth():
    values = of_bits(12).ravel().astype(int)
    packed = bytearray()
    for first, second in zip(values[::2], values[1::2], strict=True):
        packed += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    data = bytearray(tiff(of_bits(12), t258=12, t279=len(packed)))
    data[-2 * len(values) :] = packed
    assert comes_out(bytes(data)) == "12 bits by the file"


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_significant_bits_of_a_png_are_its_depth_where_samples_are_not_scaled(bits):
    assert comes_out(png(of_bits(bits), sBIT=bytes([bits]))) == f"{bits} bits by the file"
    assert comes_out(png(colours(bits), 2, sBIT=bytes([bits] * 3)), colours(8)) == f"{bits} bits by the file"


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_significant_bits_of_samples_scaled_as_the_standard_says_change_nothing(bits):
    scaled = of_bits(bits) << (16 - bits) | of_bits(bits) >> (2 * bits - 16)
    assert comes_out(png(scaled, sBIT=bytes([bits]))) == "16 bits by the file"
    dark = of_bits(bits) // 40 << (16 - bits)
    photograph = decode(png(dark, sBIT=bytes([bits])))
    assert np.abs(photograph.rgb[..., 0].astype(int) - dark / 257).max() <= 1


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("kind", ["grey png", "grey tiff", "rgb png", "rgb tiff"])
def test_fewer_bits_than_stated_are_refused_with_advice_not_nearly_black(bits, kind):
    samples = of_bits(bits) if kind.startswith("grey") else colours(bits)
    grey = samples.ndim == 2
    data = png(samples, 0 if grey else 2) if kind.endswith("png") else tiff(samples, 1 if grey else 2)
    with pytest.raises(DecodeError, match=rf"input\.window = \[0, {2 ** max(bits, 10) - 1}\]"):
        decode(data)
    assert comes_out(data, RAMP if grey else colours(8), Window(0, 2**bits - 1)) == "input.window"


@pytest.mark.parametrize("compression", [1, 8])
def test_white_is_zero_is_turned_over(compression):
    assert comes_out(tiff(65535 - of_bits(16), photometric=0, compression=compression)) == "16 bits"
    assert comes_out(tiff(4095 - of_bits(12), 0, compression, t281=4095)) == "12 bits by the file"


def test_16_bits_in_full_are_what_they_were():
    assert comes_out(png(of_bits(16))) == "16 bits"
    photograph = decode(png(colours(16), 2))
    assert np.array_equal(photograph.rgb, (colours(16) >> 8).astype(np.uint8))
    assert decode(png(np.zeros((4, 4), np.uint16))).rgb.max() == 0


def test_a_transparent_value_is_white_paper_in_16_bits():
    expected = RAMP.copy()
    expected[:, 0] = 255
    comes_out(png(of_bits(16), tRNS=b"\0\0"), expected)
    comes_out(png(of_bits(12), tRNS=b"\0\0"), expected, Window(0, 4095))
    hidden = colours(16)[0, 3]
    expected = colours(8).copy()
    expected[:, 3] = 255
    comes_out(png(colours(16), 2, tRNS=struct.pack(">3H", *hidden)), expected)


def test_alpha_is_kept_where_colours_are_windowed():
    opaque, clear = np.full((8, 16), 65535, np.uint16), np.zeros((8, 16), np.uint16)
    samples = np.dstack([colours(12), np.where(np.arange(16) < 8, opaque, clear)])
    expected = colours(8)
    expected[:, 8:] = 255
    comes_out(png(samples, 6), expected, Window(0, 4095))


def test_grey_with_alpha_of_fewer_bits_is_read_as_grey_is():
    opaque = np.full((8, 16), 65535, np.uint16)
    samples = np.dstack([of_bits(12), opaque])
    with pytest.raises(DecodeError, match="reach only 4,0"):
        decode(png(samples, 4))
    comes_out(png(samples, 4, sBIT=bytes([12, 16])), RAMP)
    comes_out(png(samples, 4), RAMP, Window(0, 4095))
    comes_out(png(np.dstack([of_bits(16), opaque]), 4), RAMP)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_opacity_of_fewer_bits_is_opacity(bits):
    """Written with the samples' own depth it was nearly clear: everything came out white."""
    opaque = np.full((8, 16), 2**bits - 1, np.uint16)
    comes_out(png(np.dstack([colours(bits), opaque]), 6, sBIT=bytes([bits] * 4)), colours(8))
    comes_out(png(np.dstack([of_bits(bits), opaque]), 4, sBIT=bytes([bits] * 2)), RAMP)


def test_colours_of_15_bits_by_the_file_are_read_as_grey_is():
    comes_out(png(colours(15), 2, sBIT=bytes([15] * 3)), colours(8))


def test_a_maxval_of_all_16_bits_says_nothing():
    """OpenCV writes it for 12 bits too."""
    samples = of_bits(12).astype(">u2").tobytes()
    with pytest.raises(DecodeError, match="reach only 4,0"):
        decode(b"P5 16 8 65535\n" + samples)
    comes_out(b"P5 16 8 65535\n" + samples, RAMP, Window(0, 4095))
    comes_out(b"P5 16 8 4095\n" + samples, RAMP)
    with pytest.raises(DecodeError, match="only where they use all 16 bits"):
        decode(b"P6 16 8 65535\n" + colours(12).astype(">u2").tobytes())
    comes_out(b"P6 16 8 4095\n" + colours(12).astype(">u2").tobytes(), colours(8))
    assert "maxval 4095" in str(decode(b"P6 16 8 4095\n" + colours(12).astype(">u2").tobytes()).window)


def test_white_is_zero_holds_for_floating_point_too():
    file = io.BytesIO()
    Image.fromarray((255 - RAMP).astype(np.float32)).save(file, "TIFF", tiffinfo={262: 0})
    comes_out(file.getvalue(), RAMP, Window(0, 255))


def test_signed_samples_of_8_bits_are_refused():
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "TIFF", tiffinfo={339: 2})
    with pytest.raises(DecodeError, match="signed 8-bit"):
        decode(file.getvalue())


def test_inks_of_fewer_bits_are_refused():
    """16-bit CMYK that holds 12 bits is nearly white."""
    inks = np.dstack([of_bits(12)] * 4)
    with pytest.raises(DecodeError, match="only where they use all 16 bits"):
        decode(tiff(inks, photometric=5))


def test_a_window_cuts_and_stretches():
    samples = np.array([[0, 1000, 2000, 3000, 60000]], np.uint16)
    photograph = decode(png(samples), window=Window(1000, 3000))
    assert photograph.rgb[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert (photograph.window.low, photograph.window.high) == (1000, 3000)


def test_percentiles_are_of_the_single_image_and_said_so():
    samples = np.arange(1001, dtype=np.uint16).reshape(1, -1) + 500
    photograph = decode(png(samples), window=Window(10, 90, percentile=True))
    assert (photograph.window.low, photograph.window.high) == (600, 1400)
    assert photograph.window.source == "percentiles 10 and 90 of this image"
    assert photograph.rgb[0, [0, 100, 500, 900, 1000], 0].tolist() == [0, 0, 128, 255, 255]
    constant = decode(png(np.full((4, 4), 700, np.uint16)), window=Window(0.5, 99.5, percentile=True))
    assert constant.rgb.max() == constant.rgb.min() == 0


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_window_gives_whole_and_floating_numbers_a_white(mode):
    buffer = io.BytesIO()
    values = np.array([[-1000, 0, 1000]], np.int32 if mode == "I" else np.float32)
    Image.fromarray(values).save(buffer, "TIFF")
    assert decode(buffer.getvalue(), window=Window(-1000, 1000)).rgb[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(DecodeError, match=r"no standard value of white.*input\.window"):
        decode(buffer.getvalue())


def test_pixels_that_are_no_numbers_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(buffer, "TIFF")
    with pytest.raises(DecodeError, match="not numbers"):
        decode(buffer.getvalue(), window=Window(0, 1))


def test_a_pgm_says_its_white():
    data = b"P5\n# a comment 9 9\n2 1\n4095\n" + struct.pack(">2H", 4095, 1000)
    photograph = decode(data)
    assert photograph.rgb[0, :, 0].tolist() == [255, 62]
    assert photograph.window.source == "maxval 4095 of the file"
    assert decode(data, window=Window(0, 2000)).rgb[0, :, 0].tolist() == [255, 128]


def test_a_large_file_is_windowed_before_it_is_shrunk():
    big = np.kron(of_bits(12), np.ones((10, 10), np.uint16))
    photograph = decode(png(big), Limits(decoded=RAMP.size), window=Window(0, 4095))
    assert np.abs(photograph.rgb[..., 0].astype(int) - RAMP).max() <= 1
