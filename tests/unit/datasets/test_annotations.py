"""Boxes to the pixel, labels to the class, and no tricks in the XML."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.localisation_csv import read_localisation
from gfi.datasets.annotations.voc_xml import parse_xml
from gfi.datasets.errors import DatasetError
from gfi.domain.class_index import ClassIndex


def annotation(*boxes: str, size: str = "<size><width>500</width><height>375</height></size>") -> bytes:
    things = "".join(f"<object><name>dog</name>{box}</object>" for box in boxes)
    return f"<annotation>{size}{things}</annotation>".encode()


def box(left, top, right, bottom) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), (left, top, right, bottom), strict=True)
    return f"<bndbox>{''.join(f'<{name}>{value}</{name}>' for name, value in sides)}</bndbox>"


def test_voc_counts_from_one_and_includes_both_ends():
    """A box over the whole picture is 1 … W in VOC; half-open from zero it is 0 … W."""
    whole, pixel = parse_xml(annotation(box(1, 1, 500, 375), box(7, 9, 7, 9)), one_based=True).boxes
    assert whole == Box("dog", 0, 0, 500, 375)
    assert pixel == Box("dog", 6, 8, 7, 9)


def test_imagenet_counts_from_zero_and_includes_both_ends():
    found = parse_xml(annotation(box(0, 0, 499, 374), box(10, 10, 500, 375)), one_based=False)
    assert found.size == (375, 500)
    assert found.boxes == (Box("dog", 0, 0, 500, 375), Box("dog", 10, 10, 500, 375))


def test_difficult_objects_are_marked_and_parts_are_not_objects():
    part = "<part><name>head</name>" + box(1, 1, 2, 2) + "</part>"
    found = parse_xml(
        annotation(box(48, 240.5, 195, 371) + "<difficult>1</difficult>" + part), one_based=True
    )
    assert found.boxes == (Box("dog", 47, 239.5, 195, 371, difficult=True),)


def test_a_size_of_nothing_is_no_size():
    found = parse_xml(
        annotation(box(1, 1, 9, 9), size="<size><width>0</width><height>0</height></size>"), one_based=True
    )
    assert found.size is None
    assert found.boxes == (Box("dog", 0, 0, 9, 9),)


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = (
    b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><name>&x;</name></annotation>"""
)


@pytest.mark.parametrize(
    "data", [LAUGHS, OUTSIDE, b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><annotation/>']
)
def test_entities_and_outside_references_are_refused(data):
    with pytest.raises(DatasetError, match="DTD is refused"):
        parse_xml(data, one_based=True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not XML"),
        (b"<annotation>", "not XML"),
        (annotation("<bndbox><xmin>1</xmin></bndbox>"), "<bndbox><ymin> is ''"),
        (annotation(box("a", 1, 2, 3)), "<bndbox><xmin> is 'a'"),
        (annotation(box(9, 9, 3, 3)), "left < right"),
        (annotation(box("nan", 1, 2, 3)), "<bndbox><xmin> is 'nan'"),
        (annotation(box(1, 1, "inf", 3), size=""), "<bndbox><xmax> is 'inf'"),
    ],
)
def test_a_wrong_annotation_says_what_is_wrong(data, said):
    with pytest.raises(DatasetError, match=said):
        parse_xml(data, one_based=True)


@given(
    st.binary(max_size=300) | st.text(alphabet="<>/&;![]annotationobject \"'x0", max_size=120).map(str.encode)
)
@settings(max_examples=120, deadline=None)
def test_random_xml_never_escapes(data):
    try:
        parse_xml(data, one_based=True)
        parse_xml(b"<annotation><object>" + data + b"</object></annotation>", one_based=False)
    except DatasetError:
        pass


def test_the_localisation_table_of_imagenet(tmp_path: Path):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\nval_1,n01440764 85 1 499 272 n01440764 0 0 9 9 \nval_2,n02 1 2 3 4\n"
    )
    found = read_localisation(path)
    assert found["val_1"] == (Box("n01440764", 85, 1, 500, 273), Box("n01440764", 0, 0, 10, 10))
    assert found["val_2"] == (Box("n02", 1, 2, 4, 5),)
    path.write_text("ImageId,PredictionString\nval_1,n01440764 85 1 499\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_localisation(path)


# --- classes -------------------------------------------------------------------------------------------

NAMES = ("tench, Tinca tinca", "great white shark, white shark, man-eater", "crane", "Cardigan, Cardigan Welsh corgi",
         "cardigan", "crane", "7")  # fmt: skip
IDS = ("n01440764", "n01484850", "n02012849", "n02113186", "n02963159", "n03126707", "n09999999")
CLASSES = ClassIndex(NAMES, IDS)


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("n01484850", 1), ("n01484850_great_white_shark", 1), ("n00000000", None),
        ("tench", 0), ("Tinca tinca", 0), ("tinca_tinca", 0), ("TENCH,  tinca  TINCA", 0), (" tench ", 0),
        ("great-white_shark", 1), ("man eater", 1), ("white shark", 1),
        ("crane", None), ("Crane", None),  # the bird and the machine
        ("Cardigan", 3), ("cardigan", 4), ("CARDIGAN", None), ("cardigan welsh corgi", 3),
        ("3", 3), (3, 3), ("003", 3), ("7", 6), (7, None), ("99", None), (-1, None), ("-1", None),
        ("", None), (None, None), (True, None), ("whale", None), ("²", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_a_label_finds_its_class_or_none(label, index):
    assert CLASSES.find(label) == index


def test_classes_may_have_no_wordnet_ids():
    assert ClassIndex(("cat", "dog")).find("dog") == 1
    assert ClassIndex(("n01440764", "n01484850")).find("n01484850") == 1
    assert ClassIndex(()).find("0") is None


def test_every_imagenet_name_that_is_unique_is_found():
    table = Path(__file__).parents[3] / "gfi" / "domain" / "imagenet_classes.tsv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader((line for line in file if not line.startswith("#")), delimiter="\t"))
    rows = [row for row in rows if row[0].startswith("n")]
    assert len(rows) == 1000
    classes = ClassIndex([row[1] for row in rows], [row[0] for row in rows])
    for index, (wordnet, name) in enumerate(row[:2] for row in rows):
        assert classes.find(wordnet) == classes.find(index) == index
        same = [other for other, row in enumerate(rows) if row[1] == name]
        assert classes.find(name) == (index if len(same) == 1 else None)
