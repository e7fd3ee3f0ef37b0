"""Boxes from VOC and ImageNet annotations, exact to the pixel; malicious XML is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi.datasets.annotations.boxes import FRACTIONS, SWAPPED, Box
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.annotations.voc_xml import BARE_AMPERSAND, parse_xml, read_image_boxes
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
    assert whole == Box("dog", 0, 0, 500, 375, frame=(375, 500))
    assert pixel == Box("dog", 6, 8, 7, 9, frame=(375, 500))


def test_imagenet_counts_from_zero_and_includes_both_ends():
    found = parse_xml(annotation(box(0, 0, 499, 374), box(10, 10, 500, 375)), one_based=False)
    assert found.size == (375, 500)
    assert [box.sides for box in found.boxes] == [(0, 0, 500, 375), (10, 10, 501, 376)]
    assert [box.sides for box in settle_boxes(found.boxes, (375, 500)).boxes] == [
        (0, 0, 500, 375),
        (10, 10, 500, 375),
    ]


def test_difficult_objects_are_marked_and_parts_are_not_objects():
    part = "<part><name>head</name>" + box(1, 1, 2, 2) + "</part>"
    found = parse_xml(
        annotation(box(48, 240.5, 195, 371) + "<difficult>1</difficult>" + part), one_based=True
    )
    assert found.boxes == (Box("dog", 47, 239.5, 195, 371, difficult=True, frame=(375, 500)),)


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
        (annotation("<robndbox/>"), "<bndbox><xmin> is ''"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "not a known encoding"),
        ("<annotation>ä</annotation>".encode("latin-1"), "not written in utf-8"),
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


NO_SIZE = ""


def test_corners_in_the_wrong_order_are_put_in_order():
    found = parse_xml(annotation(box(24, 25, 9, 9), size=NO_SIZE), one_based=True)
    assert (found.boxes, found.repairs) == ((Box("dog", 8, 8, 24, 25),), (SWAPPED,))


def test_fractions_are_not_counted_from_one():
    found = parse_xml(annotation(box(0.125, 0.25, 0.5, 1.0)), one_based=True)
    assert found.boxes == (Box("dog", 0.125, 0.25, 0.5, 1.0, unit="fraction"),)
    assert found.repairs == (FRACTIONS,)


def test_a_box_in_the_first_pixels_is_one_of_pixels():
    assert parse_xml(annotation(box(1, 1, 1, 1), size=NO_SIZE), one_based=True).boxes == (
        Box("dog", 0, 0, 1, 1),
    )
    assert parse_xml(annotation(box(0, 0, 1, 1), size=NO_SIZE), one_based=False).boxes == (
        Box("dog", 0, 0, 2, 2),
    )


@pytest.mark.parametrize(
    "polygon",
    [
        "<pt><x>9</x><y>9</y></pt><pt><x>24</x><y>10</y></pt><pt><x>15</x><y>25</y></pt>",
        "<x1>9</x1><y1>9</y1><x2>24</x2><y2>10</y2><x3>15</x3><y3>25</y3>",
    ],
)
def test_a_polygon_has_the_box_around_it(polygon):
    found = parse_xml(annotation(f"<polygon>{polygon}</polygon>", size=NO_SIZE), one_based=True)
    (box_of_polygon,) = found.boxes
    assert (replace(box_of_polygon, outline=None), found.repairs) == (Box("dog", 8, 8, 24, 25), ())
    assert box_of_polygon.outline == "[[8.5,8.5,23.5,9.5,14.5,24.5]]"
    both = annotation(box(2, 2, 5, 5) + f"<polygon>{polygon}</polygon>", size=NO_SIZE)
    assert parse_xml(both, one_based=True).boxes == (Box("dog", 1, 1, 5, 5),)


def test_namespaces_make_no_difference():
    plain = annotation(box(1, 1, 9, 9))
    spaced = plain.replace(b"<annotation>", b'<annotation xmlns="http://example.org/voc">')
    prefixed = plain.decode().replace("<", "<v:").replace("<v:/", "</v:")
    prefixed = prefixed.replace("<v:annotation>", '<v:annotation xmlns:v="http://example.org/voc">')
    assert parse_xml(plain, True) == parse_xml(spaced, True) == parse_xml(prefixed.encode(), True)
    assert len(parse_xml(plain, True).boxes) == 1


@pytest.mark.parametrize(
    ("encoding", "written", "name"),
    [
        ("GBK", "gbk", "猫"),
        ("gb2312", "gbk", "镕"),  # a character that GB 2312 does not have, in a file that declares GB 2312
        ("Shift_JIS", "cp932", "①犬"),
        ("EUC-KR", "euc-kr", "개"),
        ("Big5", "big5", "貓"),
        ("windows-1252", "cp1252", "€uro"),
        ("UTF-16", "utf-16", "猫"),
        ("UTF-8", "utf-8-sig", "猫"),
    ],
)
def test_the_declared_encoding_is_read(encoding, written, name):
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + annotation(box(1, 1, 9, 9)).decode()
    found = parse_xml(text.replace("dog", name).encode(written), one_based=True)
    assert [box.label for box in found.boxes] == [name]


def test_a_bare_ampersand_is_one_letter_and_an_escaped_one_too():
    bare = parse_xml(annotation(box(1, 1, 9, 9)).replace(b"dog", b"salt & pepper &unknown;"), one_based=True)
    assert bare.boxes[0].label == "salt & pepper &unknown;"
    assert bare.repairs == (BARE_AMPERSAND,)
    escaped = parse_xml(
        annotation(box(1, 1, 9, 9)).replace(b"dog", b"salt &amp; &#112;epper"), one_based=True
    )
    assert (escaped.boxes[0].label, escaped.repairs) == ("salt & pepper", ())


def test_a_file_that_cannot_be_read_is_the_error_of_its_image(tmp_path):
    path = tmp_path / "1.xml"
    for content, said in (
        (LAUGHS, "DTD is refused"),
        (b"<a", "not XML"),
        (b" " * 5_000_000, "larger than 4 MiB"),
    ):
        path.write_bytes(content)
        read = read_image_boxes(path, one_based=True)
        assert read.boxes == ()
        assert said in (read.error or "")
        assert "1.xml" in (read.error or "")
    path.write_bytes(annotation(box(1, 1, 9, 9)))
    assert len(read_image_boxes(path, one_based=True).boxes) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_bare_ampersand_is_read_in_every_encoding(encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + annotation(box(1, 1, 9, 9)).decode()
    found = parse_xml(text.replace("dog", "cat & dog").encode(encoding), one_based=True)
    assert (found.boxes[0].label, found.repairs) == ("cat & dog", (BARE_AMPERSAND,))


def test_what_is_quoted_as_text_is_not_escaped_twice():
    text = annotation(box(1, 1, 9, 9) + "<pose>a & b</pose>").replace(b"dog", b"<![CDATA[cat & dog]]>")
    assert parse_xml(text, one_based=True).boxes[0].label == "cat & dog"


def test_labelme_says_the_size_in_its_own_words_and_keeps_what_was_deleted():
    polygon = "<polygon>" + "".join(
        f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((11, 21), (40, 21), (40, 50))
    )
    things = [f"<object><name>dog</name><deleted>{n}</deleted>{polygon}</polygon></object>" for n in (0, 1)]
    size = "<imagesize><nrows>160</nrows><ncols>200</ncols></imagesize>"
    found = parse_xml(f"<annotation>{size}{''.join(things)}</annotation>".encode(), one_based=True)
    assert [box.sides for box in found.boxes] == [(10, 20, 40, 50)]
    assert found.size == found.boxes[0].frame == (160, 200)


def test_percent_is_read():
    found = parse_xml(annotation(box("10%", "20%", "40%", "50%")), one_based=True)
    assert found.boxes == (Box("dog", 10, 20, 40, 50, unit="percent"),)


def test_another_document_is_no_annotation_without_objects():
    with pytest.raises(DatasetError, match="holds <html> and no <annotation>"):
        parse_xml(b"<html><body>404</body></html>", one_based=True)
