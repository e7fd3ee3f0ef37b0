"""Members of a shard as samples: which image is the photograph, and which label belongs to it."""

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.tar_samples import NO_ANNOTATION, UNREADABLE, Member, Sample


def sample(*images: str, **side_cars: bytes) -> Sample:
    """A sample `a` with images of these names; side_cars: `a_cls=b"3"`."""
    made = Sample("a", [Member(f"x.tar/{name}.jpg", name, 1, "v") for name in images])
    for name, text in side_cars.items():
        stem, _, suffix = name.rpartition("_")
        made.side_cars[(stem.replace("__", "."), suffix)] = (f"x.tar/{name}", text)
    return made


def labels(made: Sample, all_images: bool = False) -> dict[str, str | None]:
    return {listed.key[6:-4]: listed.label for listed in made.listed(all_images, ListingNotes())}


def test_the_image_with_the_bare_name_is_the_photograph():
    assert labels(sample("a.left", "a", "a.seg", a_cls=b"3")) == {"a": "3"}
    assert labels(sample("a.left", "a", a_cls=b"3"), all_images=True) == {"a.left": "3", "a": "3"}


def test_without_a_bare_name_all_but_masks_are_photographs():
    assert labels(sample("a.left", "a.right", "a.mask")) == {"a.left": None, "a.right": None}
    assert labels(sample("a.mask")) == {"a.mask": None}


def test_a_label_of_the_whole_name_comes_before_that_of_the_sample():
    made = sample("a.1", "a.2", a_cls=b"sample", a__2_cls=b"own")
    assert labels(made) == {"a.1": "sample", "a.2": "own"}


def test_class_then_annotation_then_text():
    assert labels(sample("a", a_cls=b"1", a_json=b'{"label": "2"}', a_txt=b"3")) == {"a": "1"}
    assert labels(sample("a", a_json=b'{"label": 2.0}', a_txt=b"3")) == {"a": "2"}
    assert labels(sample("a", a_json=b"{}", a_txt=b"3")) == {"a": "3"}
    assert labels(sample("a", a_cls=b" ")) == {"a": None}


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"\xff", "not UTF-8"), (b"1" * 2**21, "longer than"), (b"a\0", "NUL"), (b"a" * 600, "longer than")],
)
def test_a_class_that_is_no_text_costs_its_image_the_label(text, says):
    notes = ListingNotes()
    (listed,) = sample("a", a_cls=text, a_txt=b"cat").listed(False, notes)
    assert listed.label is None
    (line,) = notes.lines(1)
    assert line.startswith(f"1 of 1 images: {UNREADABLE}")
    assert says in line


def test_a_mark_of_the_encoding_is_no_part_of_a_label():
    assert labels(sample("a", a_cls=b"\xef\xbb\xbf3")) == {"a": "3"}
    assert labels(sample("a", a_json=b'\xef\xbb\xbf{"label": 4}')) == {"a": "4"}


def test_a_name_with_a_dot_and_a_label_of_its_own_is_a_photograph():
    made = sample("a", "a.01", "a.02", "a.seg", a_cls=b"3", a__01_cls=b"1", a__seg_cls=b"9")
    assert labels(made) == {"a": "3", "a.01": "1"}


def test_the_annotation_is_read_under_the_words_of_other_tools():
    notes = ListingNotes()
    text = b'{"class": 5, "bbox": [{"left": 10, "top": 20, "right": 30, "bottom": 40}], "width": 200, "height": 160}'
    (listed,) = sample("a", a_json=text).listed(False, notes)
    assert (listed.label, listed.boxes[0].sides, listed.boxes[0].frame) == ("5", (10, 20, 30, 40), (160, 200))
    assert notes.lines(1) == ["the column 'class' is read as `label`", "the column 'bbox' is read as `boxes`"]
    (listed,) = sample("a", a_json=b'{"label": 5, "bbox": [1, 2, 30, 40]}').listed(False, ListingNotes())
    assert "is not `boxes`, each [left, top, right, bottom]" in (listed.boxes_error or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"label": 1, "label": 2}', "'label' twice in one object"),
        (b'{"label": 1, "boxes": [{"left": 1, "left": 2}]}', "'left' twice in one object"),
        (b'{"label": 1, "score": NaN}', "NaN is not JSON"),
        (b'{"label": 1, "name": "a\\u0000"}', "a column holds a NUL"),
    ],
)
def test_an_ambiguous_annotation_is_refused(text, says):
    """Of a name twice the second was taken without a word; NUL and NaN failed the job when it was stored."""
    notes = ListingNotes()
    (listed,) = sample("a", a_json=text).listed(False, notes)
    assert (listed.label, listed.extra) == (None, {})
    assert says in (listed.boxes_error or "")
    (line,) = notes.lines(1)
    assert line.startswith(f"1 of 1 images: {NO_ANNOTATION}")


def test_a_file_that_a_shard_holds_twice_is_refused():
    twice = sample("a")
    twice.images.append(Member("x.tar/./a.jpg", "a", 1, "v"))
    with pytest.raises(DatasetError, match="are one file"):
        labels(twice)
