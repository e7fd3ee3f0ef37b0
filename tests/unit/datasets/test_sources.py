"""What a spec opens."""

import json
import tarfile
import zipfile

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import KINDS, open_source, place_of
from tests.unit.datasets.conftest import jpeg


def test_a_wrong_spec_is_one_clear_line(plant, free):
    folder = plant("1.jpg")
    for spec in ("", "folder:", "a\0b", "~nobody-of-that-name/x", "x" * 5000, f"folder:{folder}?split=test"):
        with pytest.raises(DatasetError) as caught:
            open_source(spec, free)
        assert "\n" not in str(caught.value)


def test_every_kind_is_opened_by_its_prefix_and_says_which_options_it_has(plant, free):
    """A new kind is one entry of KINDS; an unknown option is refused by name."""
    folder = plant("JPEGImages/1.jpg", "val/n01440764/2.jpg")
    (folder / "list.csv").write_text("key\nJPEGImages/1.jpg\n")
    with tarfile.open(folder / "x.tar", "w") as tar:
        tar.add(folder / "JPEGImages/1.jpg", "1.jpg")
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.write(folder / "JPEGImages/1.jpg", "1.jpg")
    objects = folder / "objects"
    (objects / "images").mkdir(parents=True)
    (objects / "images" / "3.jpg").write_bytes(jpeg())
    image = {"id": 1, "file_name": "images/3.jpg"}
    (objects / "coco.json").write_text(json.dumps({"images": [image], "annotations": [], "categories": []}))
    places = {"manifest": folder / "list.csv", "tar": folder / "x.tar", "zip": folder / "x.zip"}
    places |= {"coco": objects, "yolo": objects}
    for kind in KINDS:
        source = open_source(f"{kind}:{places.get(kind, folder)}", free)
        assert source.kind == kind
        assert open_source(source.spec, free).spec == source.spec
        assert list(source.list())
        with pytest.raises(DatasetError, match=f"a {kind} dataset has no option 'colour'; it has "):
            open_source(f"{kind}:{places.get(kind, folder)}?colour=red", free)


@pytest.mark.parametrize(
    "spec", ["voc:s3://bucket/x", "imagenet:s3://bucket/x", "tar:s3://bucket/x", "s3://bucket/x.tar"]
)
def test_what_is_not_read_from_a_bucket_is_refused_without_asking_it(free, spec):
    with pytest.raises(DatasetError, match="from a file system only"):
        open_source(spec, free)


@pytest.mark.parametrize("spec", ["https://example.org/x.tar", "hf://birds", "manifest:gs://bucket/list.csv"])
def test_other_places_are_refused_by_their_scheme(spec, free):
    with pytest.raises(DatasetError, match=r"are read from a file system or s3://, not from"):
        open_source(spec, free)


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("folder:/data/photos", "/data/photos/"),
        ("classes:s3://bucket/birds/", "s3://bucket/birds/"),
        ("voc:/data/VOC2007?split=test", "/data/VOC2007/"),
        ("manifest:/data/list.csv", "/data/"),
        ("manifest:s3://bucket/lists/x.csv?root=/photos%20here", "/photos here/"),
        ("tar:/data/shards", "/data/shards/"),
        ("tar:/data/train-0.tar?images=all", "/data/"),
        ("tar:/data/set-*/train-{0..9}.tar", "/data/"),
        ("zip:/data/birds.zip", "/data/birds.zip/"),
        ("upload:0a1b", "upload:0a1b/"),
    ],
)
def test_keys_begin_at_the_place_of_the_dataset(spec, place):
    assert place_of(spec) == place
