"""Which files are photographs."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import (
    EXTRAS,
    HEAD,
    IMAGE_SUFFIXES,
    READABLE,
    Selection,
    format_of,
    is_image,
    kind_of,
)


@pytest.mark.parametrize("file_format", [kind for kind in READABLE if kind not in EXTRAS])
def test_every_format_that_is_read_is_known_by_its_first_bytes(file_format):
    buffer = io.BytesIO()
    picture = Image.new("RGB", (16, 16))
    np.save(buffer, picture) if file_format == "NPY" else picture.save(buffer, file_format)
    assert format_of(buffer.getvalue()[:HEAD]) == file_format


@pytest.mark.parametrize("head", [b"", b"hello", b"\0" * HEAD, b"P7 1", b"RIFF0000WAVE"])
def test_other_bytes_are_no_image(head):
    assert format_of(head) is None


def test_every_suffix_of_pillow_for_these_formats_is_read():
    Image.init()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in READABLE}
    missing = known - set(IMAGE_SUFFIXES) - {".apng", ".avifs", ".dib", ".pnm", ".pfm"}
    assert missing == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JP2", "JPEG 2000"),
        ("b.psd", "PSD"),
        ("c.tar.gz", ".gz"),
        ("notes", "without a suffix"),
        ("d.NEF", "camera raw"),
    ],
)
def test_what_is_not_read_has_a_name(name, kind):
    assert not is_image(name)
    assert kind_of(name) == kind


def test_suffixes_that_are_asked_for_take_the_place_of_the_usual():
    selection = Selection.parse(" JPG, .dat,none ")
    assert selection.suffixes == (".jpg", ".dat", "")
    assert [name for name in ("a.jpg", "b.png", "c.DAT", "d", "e.d") if selection.reads(name)] == [
        "a.jpg",
        "c.DAT",
        "d",
    ]
    assert not selection.sniffs("d")
    assert Selection.parse(selection.option()["suffixes"]) == selection
    assert Selection.parse(None).option() == {}
    with pytest.raises(DatasetError):
        Selection.parse(" , ")
