"""DICOM and HEIC, in files that the libraries people use write."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from gfi.datasets import file_kinds
from gfi.datasets.decode import Limits, decode
from gfi.datasets.errors import DecodeError
from gfi.datasets.file_kinds import Selection
from gfi.datasets.frames import frame_of, frames_of
from gfi.domain.window import Window

GREY = np.array([[0, 1000, 1100], [1200, 2000, 4095]], np.uint16)


def dicom(
    pixels: np.ndarray = GREY,
    kind: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    **fields: object,
) -> bytes:
    """A file of one frame with 12 bits of grey, or 8 bits of colour."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.PhotometricInterpretation = kind
    file.BitsAllocated = pixels.dtype.itemsize * 8
    file.BitsStored = 12 if pixels.dtype == np.uint16 else 8
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = 0
    file.PixelData = pixels.tobytes()
    for name, value in fields.items():
        setattr(file, name, value)
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=False)
    data = out.getvalue()
    return data if data[128:132] == b"DICM" else b"\0" * 128 + b"DICM" + data


def test_the_window_of_the_file_is_applied_to_rescaled_values() -> None:
    # −1000 … ; LINEAR of centre 50.5 and width 201 is −50 … 150 of rescaled values
    photograph = decode(
        dicom(RescaleSlope=1, RescaleIntercept=-1000, WindowCenter=[50.5, 9], WindowWidth=[201, 9])
    )
    assert photograph.rgb[..., 0].tolist() == [[0, 64, 191], [255, 255, 255]]
    assert str(photograph.window) == "-50 is black and 150 white (window of the file)"
    assert (photograph.size, photograph.format) == ((2, 3), "DICOM")


def test_without_a_window_the_bits_decide_and_white_may_be_zero() -> None:
    plain = decode(dicom())
    assert str(plain.window) == "0 is black and 4095 white (12 bits by the file)"
    assert plain.rgb[1, 2].tolist() == [255, 255, 255]
    inverted = decode(dicom(kind="MONOCHROME1"))
    assert np.array_equal(inverted.rgb, 255 - plain.rgb)
    assert decode(dicom(), window=Window(1000, 2000)).rgb[..., 0].tolist() == [[0, 0, 26], [51, 255, 255]]


def test_colour_is_read_and_what_is_no_single_picture_is_refused() -> None:
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(decode(dicom(colour, "RGB")).rgb, colour)
    with pytest.raises(DecodeError, match="a DICOM file of 4 frames; one key is one image"):
        decode(dicom(NumberOfFrames=4))
    with pytest.raises(DecodeError, match="3×2 pixels; the limit"):
        decode(dicom(), Limits(pixels=5))
    with pytest.raises(DecodeError, match="a table or a curve; set the values"):
        decode(dicom(VOILUTFunction="SIGMOID", WindowCenter=1, WindowWidth=2))
    with pytest.raises(DecodeError, match="the file holds no picture"):
        decode(dicom()[:150])


def test_a_file_that_is_deflated_whole_is_refused_before_it_is_inflated() -> None:
    short = dicom(syntax=DeflatedExplicitVRLittleEndian)
    header = short[: 144 + struct.unpack("<I", short[140:144])[0]]
    bomb = header + zlib.compress(bytes(50_000_000), 9, -15)
    assert len(bomb) < 100_000
    tracemalloc.start()
    for read in (decode, lambda data: frame_of(data, 1, "a.dcm#1")):
        with pytest.raises(DecodeError, match="a deflated DICOM file is not read; save it with another"):
            read(bomb)
    assert frames_of(bomb) == 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_run_lengths_that_stand_for_more_than_the_picture_are_refused() -> None:
    runs = b"\x81\x07" * 20_000  # 128 bytes of 7 each
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + runs
    data = dicom(np.zeros((2, 3), np.uint8), syntax=RLELossless, PixelData=encapsulate([frame]))
    with pytest.raises(DecodeError, match="run lengths stand for more pixels than rows and columns"):
        decode(data)


def enhanced(intercepts: Sequence[int], shared: Sequence[int] = (), frames: int = 1) -> bytes:
    """A file that has the rescale of each frame in the functional groups; `shared`: that of all frames."""

    def groups(values: Sequence[int]) -> list[Dataset]:
        made = []
        for intercept in values:
            rescale, group = Dataset(), Dataset()
            rescale.RescaleSlope, rescale.RescaleIntercept = 1, intercept
            group.PixelValueTransformationSequence = [rescale]
            made.append(group)
        return made

    return dicom(
        NumberOfFrames=frames,
        PixelData=GREY.tobytes() * frames,
        PerFrameFunctionalGroupsSequence=groups(intercepts),
        SharedFunctionalGroupsSequence=groups(shared),
    )


def test_each_frame_of_an_enhanced_file_has_its_own_rescale() -> None:
    window = Window(-160, 240)
    first, second = (decode(frame_of(enhanced([0, -1024], frames=2), n, ""), window=window) for n in (1, 2))
    assert first.rgb[..., 0].tolist() == [[102, 255, 255], [255, 255, 255]]
    assert second.rgb[..., 0].tolist() == [[0, 87, 150], [214, 255, 255]]
    assert np.array_equal(decode(enhanced([-1024]), window=window).rgb, second.rgb)
    assert np.array_equal(decode(enhanced([], [-1024]), window=window).rgb, second.rgb)
    assert str(decode(enhanced([-1024])).window) == "-1024 is black and 3071 white (12 bits by the file)"
    with pytest.raises(DecodeError, match="of 1 frames; frame 2 has none"):
        frame_of(enhanced([0], frames=2), 2, "a#2")


def test_a_photograph_of_a_phone_is_read_upright() -> None:
    picture = Image.fromarray(np.full((40, 60, 3), (200, 30, 30), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, exif=exif.tobytes(), quality=90)
    photograph = decode(out.getvalue())
    assert photograph.format == "HEIC"
    assert photograph.size in ((40, 60), (60, 40))
    assert np.abs(photograph.rgb.reshape(-1, 3).mean(0) - (200, 30, 30)).max() < 12


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gfi.datasets.decode.READABLE", ("JPEG",))
    monkeypatch.setattr(file_kinds, "_INSTALLED", {"HEIC": False, "DICOM": False})
    with pytest.raises(DecodeError, match=r"DICOM needs the extra: pip install 'gfi\[dicom\]'"):
        decode(dicom())
    assert file_kinds.kind_of("a.HEIC") == "HEIC without gfi[heic]"
    assert Selection().reads("a.HEIC")  # where it is installed, as here


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CT_small.dcm", "(16 bits by the file)"),
        ("MR_small_RLE.dcm", "(window of the file)"),
        ("examples_overlay.dcm", "55 is black and 844 white"),
        ("examples_jpeg2k.dcm", "None"),
    ],
)
def test_files_of_scanners_are_read(name: str, said: str) -> None:
    photograph = decode(Path(str(get_testdata_file(name, download=False))).read_bytes())
    assert said in str(photograph.window)
    assert photograph.rgb.std() > 1
