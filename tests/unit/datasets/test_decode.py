"""Every odd photograph is either the right array or one clear DecodeError."""

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gfi import samples
from gfi.datasets.decode import DEFAULT, Limits, decode
from gfi.datasets.errors import DecodeError

pytestmark = pytest.mark.filterwarnings("ignore")


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(height: int = 6, width: int = 9) -> np.ndarray:
    """All pixels differ, so that any rotation or shift is noticed."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 20, columns * 20, rows * 3 + columns], -1).astype(np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_comes_back_as_it_was(format):
    photograph = decode(encoded(Image.fromarray(picture()), format))
    assert np.array_equal(photograph.rgb, picture())
    assert photograph.rgb.flags.writeable
    assert photograph.rgb.flags.c_contiguous
    assert (photograph.size, photograph.scale, photograph.format) == ((6, 9), (1.0, 1.0), format)


@pytest.mark.parametrize(("format", "options"), [("WEBP", {"lossless": True}), ("AVIF", {"quality": 100})])
def test_modern_formats_are_read(format, options):
    photograph = decode(encoded(Image.fromarray(picture(64, 48)), format, **options))
    assert photograph.rgb.shape == (64, 48, 3)
    assert photograph.format == format


def test_grey_and_one_bit_become_three_equal_channels():
    grey = decode(encoded(Image.new("L", (3, 2), 77))).rgb
    assert np.array_equal(grey, np.full((2, 3, 3), 77))
    bits = np.array([[True, False], [False, True]])
    black = decode(encoded(Image.fromarray(bits))).rgb
    assert np.array_equal(black[..., 0], bits * 255)
    assert np.array_equal(black[..., 0], black[..., 2])


@pytest.mark.parametrize("format", ["PNG", "TIFF", "TIFF-big-endian", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    values = np.array([[0, 257, 128 * 257], [65535, 300, 1]], np.uint16)
    if format == "TIFF-big-endian":
        data = encoded(Image.frombytes("I;16B", (3, 2), values.astype(">u2").tobytes()), "TIFF")
    else:
        data = encoded(Image.fromarray(values), format)
    assert decode(data).rgb[..., 1].tolist() == [[0, 1, 128], [255, 1, 0]]


def test_palette_shows_its_colours():
    image = Image.fromarray(picture()).quantize(16)
    assert np.array_equal(decode(encoded(image)).rgb, np.asarray(image.convert("RGB")))


def test_transparency_is_white_paper():
    rgba = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))
    assert decode(encoded(rgba)).rgb.tolist() == [[[200, 0, 0], [255, 255, 255]]]
    half = decode(encoded(Image.new("LA", (1, 1), (0, 128)))).rgb
    assert half[0, 0].tolist() == pytest.approx([127, 127, 127], abs=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white_paper_too(mode):
    """A tRNS chunk, or a GIF's transparent index, in a file without an alpha channel."""
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (90, 90, 90))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    hidden = image.getpixel((1, 0))
    rgb = decode(encoded(image, transparency=hidden)).rgb
    assert rgb[0, 1].tolist() == [255, 255, 255]
    assert rgb[0, 0].tolist() != [255, 255, 255]


def test_cmyk_jpegs_are_not_negatives():
    """Adobe stores CMYK inverted; read the other way, red would be cyan."""
    for red, options in (
        ((0, 255, 255, 0), {"quality": 95}),
        ((0, 255, 255, 0), {"quality": 95, "progressive": True}),
    ):
        rgb = decode(encoded(Image.new("CMYK", (16, 16), red), "JPEG", **options)).rgb
        assert np.abs(rgb.astype(int) - [255, 0, 0]).max() <= 4
    assert decode(encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF")).rgb.max() == 0


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_frame_is_the_photograph(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    rgb = decode(encoded(frames[0], format, save_all=True, append_images=frames[1:])).rgb
    assert rgb.shape == (16, 16, 3)
    assert np.abs(rgb.astype(int) - [250, 0, 0]).max() <= 8


def test_one_pixel_is_a_photograph():
    assert decode(encoded(Image.new("RGB", (1, 1), (1, 2, 3)))).rgb.tolist() == [[[1, 2, 3]]]


def test_a_phones_jpeg_with_a_second_picture_behind_it_is_a_jpeg():
    first, second = Image.new("RGB", (32, 24), (200, 10, 10)), Image.new("RGB", (8, 8))
    photograph = decode(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert (photograph.format, photograph.size) == ("JPEG", (24, 32))


# --- orientation ---------------------------------------------------------------------------------------

# From the EXIF standard: the side of the scene that the first stored row and the first stored column show. The upright
# picture is computed from that, independently of Pillow's table.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def oriented(pixels: np.ndarray, orientation: int, format: str, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(pixels), format, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_all_eight_orientations_are_turned_upright(orientation, format):
    data = oriented(picture(), orientation, format, **({"lossless": True} if format == "WEBP" else {}))
    photograph = decode(data)
    expected = UPRIGHT[orientation](picture())
    assert np.array_equal(photograph.rgb, expected)
    assert photograph.size == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_rotated_jpeg_keeps_its_original_size_and_scale(orientation):
    stored = np.asarray(Image.fromarray(picture()).resize((400, 300)))
    photograph = decode(oriented(stored, orientation, "JPEG"), Limits(decoded=10_000))
    upright = UPRIGHT[orientation](stored)
    assert photograph.size == upright.shape[:2]
    assert photograph.rgb.shape[0] * photograph.rgb.shape[1] <= 10_000
    assert photograph.scale == (
        upright.shape[1] / photograph.rgb.shape[1],
        upright.shape[0] / photograph.rgb.shape[0],
    )
    small = np.asarray(Image.fromarray(upright).resize(photograph.rgb.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(photograph.rgb.astype(int) - small).mean() < 4


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0", b"rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_broken_exif_costs_nothing(exif):
    photograph = decode(encoded(Image.fromarray(picture()), "JPEG", exif=exif))
    assert photograph.size == (6, 9)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_none(orientation):
    assert decode(oriented(picture(), orientation, "JPEG")).size == (6, 9)


# --- limits --------------------------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 5000))
        + chunk(b"IEND", b"")
    )


def jpeg_of(width: int, height: int, progressive: bool = False) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of(width: int, height: int) -> bytes:
    inner = encoded(Image.new("RGB", (4, 4)), "WEBP", lossless=True)[12:]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": png_header(60_000, 60_000),
    "png of 2^31": png_header(2**31 - 1, 2**31 - 1),
    "jpeg": jpeg_of(65_500, 65_500),
    "progressive jpeg": jpeg_of(20_000, 20_000, progressive=True),
    "webp": webp_of(16_000, 16_000),
    "webp of 2^24": webp_of(2**24, 2**24),
    "gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + encoded(Image.new("L", (4, 4)), "GIF")[10:],
    "ppm": b"P6 100000 100000 255\n" + b"\0" * 100,
    "bmp": encoded(Image.new("RGB", (4, 4)), "BMP").replace(
        struct.pack("<ii", 4, 4), struct.pack("<ii", 99_999, 99_999), 1
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name):
    with pytest.raises(DecodeError):
        decode(BOMBS[name])


def test_refusing_bombs_takes_no_memory():
    """In a separate process, because Python cannot measure the memory of Pillow's decoders."""
    program = f"""
import resource, sys
from PIL import Image
from gfi.datasets.decode import decode
from gfi.datasets.errors import DecodeError
Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in {list(BOMBS.values())!r}:
    try:
        decode(data)
    except DecodeError:
        pass
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown if sys.platform == "darwin" else grown * 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30e6


def test_a_legal_header_with_no_pixels_behind_it_is_truncated():
    with pytest.raises(DecodeError, match="not a readable"):
        decode(png_header(3000, 3000))


def test_a_progressive_jpeg_with_endless_scans_is_refused():
    """Each scan has a few bytes and takes a pass over the picture."""
    data = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    many = jpeg_of(8000, 8000, progressive=True) + b"\xff\xda" * 1000
    with pytest.raises(DecodeError, match="scans"):
        decode(many)
    assert decode(data).size == (64, 64)


def test_limits_are_said_in_the_error():
    data = encoded(Image.fromarray(picture(200, 300)))
    with pytest.raises(DecodeError, match="300×200 pixels"):
        decode(data, Limits(pixels=1000))
    with pytest.raises(DecodeError, match="the limit is"):
        decode(data, Limits(bytes=100))


def test_a_large_png_is_shrunk_by_a_whole_factor():
    pixels = np.repeat(np.repeat(picture(), 10, 0), 10, 1)
    photograph = decode(encoded(Image.fromarray(pixels)), Limits(decoded=54))
    assert np.array_equal(photograph.rgb, picture())
    assert (photograph.size, photograph.scale) == ((60, 90), (10.0, 10.0))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGB", "RGBA", "CMYK"])
def test_every_mode_can_be_shrunk(mode):
    format = "TIFF" if mode == "CMYK" else "PNG"
    photograph = decode(encoded(Image.new(mode, (90, 60), 0), format), Limits(decoded=100))
    assert photograph.rgb.shape[0] * photograph.rgb.shape[1] <= 100
    assert photograph.size == (60, 90)


def test_a_large_cut_out_is_shrunk_without_a_dark_edge():
    rgba = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    rgba.paste((255, 255, 255, 255), (0, 0, 33, 100))
    assert decode(encoded(rgba), Limits(decoded=100)).rgb.min() >= 254


# --- broken files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"<svg/>", b"\x00" * 100, b"RIFF\0\0\0\0AVI "])
def test_what_is_no_photograph_says_so(data):
    with pytest.raises(DecodeError, match=r"empty|not a photograph"):
        decode(data)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_an_agreed_white_are_refused(mode):
    with pytest.raises(DecodeError, match="no standard value of white"):
        decode(encoded(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_truncated_file_is_an_error_not_a_grey_half(format, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(DecodeError):
        decode(data[: int(len(data) * share)])


ORIGINALS = {
    format: encoded(Image.fromarray(picture(40, 60)), format)
    for format in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
}


def attempt(data: bytes) -> None:
    """Decode or DecodeError; any other exception fails the test."""
    try:
        photograph = decode(data, Limits(pixels=1_000_000, jpeg_pixels=4_000_000, decoded=250_000))
    except DecodeError as error:
        said = str(error)
        if "\n" in said or len(said) > 400:
            pytest.fail(said)
        return
    assert photograph.rgb.dtype == np.uint8
    assert photograph.rgb.shape[2] == 3


@given(
    data=st.binary(max_size=400), magic=st.sampled_from([b"", *(data[:12] for data in ORIGINALS.values())])
)
@settings(max_examples=100, deadline=None)
def test_random_bytes_never_escape(data, magic):
    attempt(magic + data)


@given(
    format=st.sampled_from(sorted(ORIGINALS)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8),
    cut=st.floats(0, 1),
)
@settings(max_examples=250, deadline=None)
def test_damaged_photographs_never_escape(format, edits, cut):
    data = bytearray(ORIGINALS[format])
    for place, patch in edits:
        at = int(place * (len(data) - 1))
        data[at : at + len(patch)] = patch
    attempt(bytes(data[: int(len(data) * (0.3 + cut))]))


def test_threads_decode_the_same():
    files = [path.read_bytes() for path in sorted(samples.path().glob("*.jpg"))]
    alone = [decode(data).rgb for data in files]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            for one, other in zip(alone, threads.map(lambda data: decode(data).rgb, files), strict=True):
                assert np.array_equal(one, other)


def test_pillow_warns_nobody():
    """Pillow warns about corrupt EXIF and huge pictures; the warnings must not reach a worker's console."""
    tiff = encoded(Image.fromarray(picture()), "TIFF", compression="tiff_lzw")
    broken_exif = bytes.fromhex("4578696600004d4d002a00000008ffff")
    files = [
        encoded(Image.fromarray(picture()), "JPEG", exif=broken_exif),
        png_header(12_000, 9_000),
        jpeg_of(30_000, 30_000),
        tiff[:-40],
    ]
    program = f"""
from gfi.datasets.decode import decode
from gfi.datasets.errors import DecodeError
for data in {files!r}:
    try:
        decode(data)
    except DecodeError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout == ""


def test_defaults_let_every_camera_through():
    assert DEFAULT.pixels >= 8192 * 8192
    assert DEFAULT.decoded > 24_000_000
