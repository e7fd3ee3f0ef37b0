"""Boxes to the pixel from VOC and ImageNet annotations, and no tricks in the XML."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.voc_xml import parse_xml
from gfi.datasets.errors import DatasetError


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
