"""The listing of an experiment as the manifest of a job, and the names of methods."""

from pathlib import Path

import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.sources import open_source
from gfi.domain.errors import MethodError
from gfi.reproduce.experiment import Example, Listing, options_of
from gfi.store.settings import Settings
from tests.unit.reproduce.miniature import photograph


def test_a_job_reads_the_listing_with_its_labels_and_boxes(tmp_path: Path) -> None:
    photograph(tmp_path / "data set/a.jpg", 160, 80)
    box = Box("cat", 80, 40, 160, 80, difficult=True, frame=(80, 160))
    listing = Listing("held out", tmp_path / "data set", (Example("a.jpg", "cat", (box,)),))
    spec = listing.write(tmp_path / "work")
    (item,) = open_source(spec, Settings()).list()
    assert (item.key, item.label, item.boxes, item.extra) == ("a.jpg", "cat", (box,), {})
    assert listing.write(tmp_path / "work") == spec
    assert Listing("held out", listing.root, (Example("a.jpg", "dog"),)).write(tmp_path / "work") != spec


def test_methods_are_presets_and_peers() -> None:
    assert options_of("released") == {"method": "gfi", "preset": "released"}
    with pytest.raises(MethodError, match="rise"):
        options_of("rices")
