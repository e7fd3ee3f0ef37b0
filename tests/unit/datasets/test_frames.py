"""Each frame of a DICOM file as an image."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import JPEGBaseline8Bit

from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError
from gfi.datasets.frames import frame_of, frames_of
from gfi.datasets.sources import open_source
from gfi.domain.window import Window
from gfi.store.settings import Settings
from tests.unit.datasets.test_dicom import dicom

FRAMES = np.arange(3 * 2 * 3, dtype=np.uint16).reshape(3, 2, 3)


def scan() -> bytes:
    return dicom(FRAMES[0], NumberOfFrames=3, PixelData=FRAMES.tobytes())


def test_each_frame_is_listed_and_fetched_alone(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(scan())
    (tmp_path / "b.dcm").write_bytes(dicom())
    source = open_source(f"{tmp_path}?frames=each", Settings())
    listed = list(source.list())
    assert [one.key for one in listed] == ["a.dcm#1", "a.dcm#2", "a.dcm#3", "b.dcm"]
    assert source.spec.endswith("?frames=each")
    assert open_source(source.spec, Settings()).spec == source.spec
    fetched = [source.fetch(one.key, one.version) for one in listed]
    assert not any(one.changed for one in fetched)
    assert len({one.sha256 for one in fetched}) == 4
    shown = [decode(one.data, window=Window(0, 255)).rgb[..., 0] for one in fetched[:3]]
    assert np.array_equal(shown, FRAMES)
    with pytest.raises(DatasetError, match="frames is each, not 'all'"):
        open_source(f"{tmp_path}?frames=all", Settings())


def test_a_compressed_frame_is_cut_out_without_decoding() -> None:
    jpegs = []
    for grey in (40, 200):
        out = io.BytesIO()
        Image.new("L", (16, 8), grey).save(out, "JPEG")
        jpegs.append(out.getvalue())
    data = _compressed(jpegs)
    assert frames_of(data) == 2
    assert jpegs[1] in frame_of(data, 2, "a.dcm#2")
    assert jpegs[0] not in frame_of(data, 2, "a.dcm#2")
    cut = frame_of(_compressed(jpegs, extended=True), 2, "a.dcm#2")
    assert decode(cut).rgb[0, 0, 0] == 200, "the table of offsets was of the whole file"


def _compressed(frames: list[bytes], extended: bool = False) -> bytes:
    import pydicom

    file = pydicom.dcmread(io.BytesIO(dicom(np.zeros((8, 16), np.uint8))))
    file.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    file.NumberOfFrames = len(frames)
    file.PixelData = encapsulate(frames)
    if extended:
        file.PixelData, file.ExtendedOffsetTable, file.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    file["PixelData"].VR = "OB"
    out = io.BytesIO()
    file.save_as(out)
    return out.getvalue()


def test_a_file_without_a_suffix_is_dicom_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(dicom(FRAMES[0], NumberOfFrames=2, PixelData=FRAMES[:2].tobytes()))
    for name in ("IM2#1", "IM3", "IM3#1"):  # files of such names
        (tmp_path / name).write_bytes(dicom(FRAMES[2]))
    source = open_source(f"{tmp_path}?frames=each", Settings())
    listed = list(source.list())
    assert [one.key for one in listed] == ["IM1#1", "IM1#2", "IM2#1", "IM3", "IM3#1"]
    fetched = [source.fetch(one.key, one.version) for one in listed]
    assert not any(one.changed for one in fetched)
    shown = [decode(one.data, window=Window(0, 255)).rgb[..., 0] for one in fetched]
    assert np.array_equal(shown, FRAMES[[0, 1, 2, 2, 2]])
    with pytest.raises(DatasetError, match="IM9#1"):
        source.fetch("IM9#1")


def test_what_is_no_frame_is_refused_in_one_line() -> None:
    with pytest.raises(DatasetError, match=r"a\.dcm#4: the file has 3 frames"):
        frame_of(scan(), 4, "a.dcm#4")
    with pytest.raises(DatasetError, match="the pixels do not divide into 9 frames"):
        frame_of(dicom(FRAMES[0], NumberOfFrames=9), 1, "a.dcm#1")
    with pytest.raises(DatasetError, match="the frame cannot be read"):
        frame_of(b"none", 1, "a.dcm#1")
    assert frames_of(b"none") == 1
