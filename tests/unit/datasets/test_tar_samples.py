"""Members of a shard as samples: which image is the photograph, and whose label is whose."""

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.tar_samples import Member, Sample


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


@pytest.mark.parametrize(("text", "says"), [(b"\xff", "not UTF-8"), (b"1" * 2**21, "longer than")])
def test_a_class_that_is_no_text_is_an_error(text, says):
    with pytest.raises(DatasetError, match=says):
        labels(sample("a", a_cls=text))
