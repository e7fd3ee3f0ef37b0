"""A miniature of PASCAL VOC in its original layout."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from tests.unit.datasets.conftest import jpeg, thing


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number in range(1, 5):
        (root / f"JPEGImages/00000{number}.jpg").write_bytes(jpeg(number, (20, 10)))
    things = {
        1: thing("dog", 1, 1, 20, 10) + thing("dog", 2, 3, 4, 5, 1),
        2: thing("dog", 1, 1, 9, 9) + thing("cat", 3, 3, 5, 5),
        3: thing("horse", 5, 5, 6, 6),
    }
    for number, text in things.items():
        (root / f"Annotations/00000{number}.xml").write_text(f"<annotation>{text}</annotation>")
    (root / "ImageSets/Main/test.txt").write_text("000003\n000001\n")
    (root / "ImageSets/Main/dog_test.txt").write_text("000001  1\n000002  0\n000003 -1\n")
    return root


def test_voc_is_recognised_and_lists_labels_and_boxes(voc, free):
    source = open_source(str(voc), free)
    assert source.kind == "voc"
    one, two, three, four = source.list()
    assert one.key == "JPEGImages/000001.jpg"
    assert one.label == "dog"
    assert one.boxes == (Box("dog", 0, 0, 20, 10), Box("dog", 1, 2, 4, 5, difficult=True))
    assert one.boxes_error is None
    assert (two.label, len(two.boxes), two.labels) == (None, 2, tuple(box.label for box in two.boxes))
    assert three.boxes == (Box("horse", 4, 4, 6, 6),)
    assert (four.label, four.boxes) == (None, ())
    assert "no annotation" in four.boxes_error
    assert source.fetch(one.key, one.version).data == jpeg(1, (20, 10))


def test_a_split_lists_its_images_and_no_others(voc, free):
    source = open_source(f"{voc}?split=test", free)
    notes = ListingNotes()
    assert [item.key for item in source.list(notes)] == ["JPEGImages/000001.jpg", "JPEGImages/000003.jpg"]
    assert notes.skipped == {"not in the list test": 2}
    assert [item.key for item in open_source(source.spec, free).list()] == [
        item.key for item in source.list()
    ]
    of_dogs = [item.key for item in open_source(f"voc:{voc}?split=dog_test", free).list()]
    assert of_dogs == ["JPEGImages/000001.jpg", "JPEGImages/000002.jpg"]


@pytest.mark.parametrize("split", ["val", "../../JPEGImages/000001", "", "/etc/passwd", "test.txt"])
def test_a_split_that_is_none_is_named_with_those_there_are(voc, free, split):
    with pytest.raises(DatasetError, match="there are dog_test, test"):
        open_source(f"{voc}?split={split}", free)


def test_a_split_with_images_that_are_not_there_is_an_error(voc, free):
    (voc / "ImageSets/Main/test.txt").write_text("000001\n000099\n")
    with pytest.raises(DatasetError, match="1 images that JPEGImages/ does not contain, for example 000099"):
        list(open_source(f"{voc}?split=test", free).list())


DTD = "<!DOCTYPE a [<!ENTITY x 'y'>]><annotation/>"


@pytest.mark.parametrize(("text", "said"), [("<annotation>", "not XML"), (DTD, "DTD is refused")])
def test_a_wrong_annotation_costs_its_image_the_boxes_and_no_other(voc, free, text, said):
    (voc / "Annotations/000002.xml").write_text(text)
    notes = ListingNotes()
    one, two, three, _ = open_source(str(voc), free).list(notes)
    assert (two.label, two.boxes) == (None, ())
    assert said in two.boxes_error
    assert (len(one.boxes), len(three.boxes)) == (2, 1)
    (line,) = notes.lines(4)
    assert line.startswith("2 of 4 images: their boxes cannot be used")
    assert "000002.xml" in line


def test_an_annotation_that_is_a_link_to_elsewhere_is_not_read(voc, free, tmp_path):
    (tmp_path / "secret.xml").write_text(f"<annotation>{thing('secret', 1, 1, 2, 2)}</annotation>")
    (voc / "Annotations/000004.xml").symlink_to(tmp_path / "secret.xml")
    four = list(open_source(str(voc), free).list())[3]
    assert (four.label, four.boxes) == (None, ())
    assert "outside the dataset" in four.boxes_error


def test_the_size_in_the_annotation_goes_with_its_boxes(voc, free):
    size = "<size><width>200</width><height>100</height></size>"
    (voc / "Annotations/000003.xml").write_text(
        f"<annotation>{size}{thing('horse', 51, 31, 60, 40)}</annotation>"
    )
    three = list(open_source(str(voc), free).list())[2]
    assert three.boxes == (Box("horse", 50, 30, 60, 40, frame=(100, 200)),)
    assert settle_boxes(three.boxes, (10, 20)).boxes == (Box("horse", 5, 3, 6, 4),)


def test_a_planted_box_covers_its_pixels_in_a_rotated_photograph(voc, free):
    """Boxes refer to the upright picture: `decode` shows the drawn rectangle at the position of the box."""
    upright = np.zeros((30, 20, 3), np.uint8)
    upright[4:9, 11:17] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned left; viewers turn it right
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(buffer, "PNG", exif=exif)
    (voc / "JPEGImages/000004.png").write_bytes(buffer.getvalue())
    (voc / "JPEGImages/000004.jpg").unlink()
    (voc / "Annotations/000004.xml").write_text(f"<annotation>{thing('dog', 12, 5, 17, 9)}</annotation>")
    source = open_source(str(voc), free)
    item = list(source.list())[3]
    photograph = decode(source.fetch(item.key).data)
    (box,) = item.boxes
    inside = photograph.rgb[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
    assert photograph.size == (30, 20)
    assert inside.min() == 255
    assert photograph.rgb.sum() == inside.sum()
