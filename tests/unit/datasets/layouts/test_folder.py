"""Folders and class folders: nothing missed, nothing twice."""

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from gfi.datasets.class_folders import NUMBERED
from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from tests.unit.datasets.conftest import jpeg, keys


def test_every_level_is_listed_once_in_the_order_of_the_keys(plant, free):
    names = [
        "a/b.jpg",
        "a/b/c.PNG",
        "a-b.jpg",
        "a.jpg",
        "ab.jpeg",
        "B.webp",
        "é.jpg",
        "a/b c.gif",
        "a0/x.tif",
        "Z/1.bmp",
    ]
    random.Random(1).shuffle(names)
    assert keys(plant(*names), free) == sorted(names)


def test_what_is_no_photograph_is_passed_over(plant, free):
    folder = plant(
        "1.jpg", ".hidden.jpg", "._1.jpg", ".cache/2.jpg", "notes.txt", "sub/.DS_Store", "Thumbs.db"
    )
    (folder / "readme").write_text("hello")
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe")
    (folder / "folder.jpg").mkdir()
    notes = ListingNotes()
    assert [listed.key for listed in open_source(str(folder), free).list(notes)] == ["1.jpg"]
    assert notes.skipped == {
        "hidden": 2,
        "hidden folder": 1,
        ".txt": 1,
        "without a suffix": 2,
        "not a regular file": 1,
    }


def test_what_is_left_out_is_counted_by_reason_with_an_example(plant, free):
    folder = plant("a.jpg", "b.JFIF", "c.jpe", "d.jp2", "e/f.JP2", "g.psd", "h.txt")
    notes = ListingNotes()
    listed = list(open_source(f"folder:{folder}", free).list(notes))
    assert [item.key for item in listed] == ["a.jpg", "b.JFIF", "c.jpe"]
    assert notes.skipped == {"JPEG 2000": 2, "PSD": 1, ".txt": 1}
    (line,) = notes.lines(len(listed))
    assert line.startswith("3 of 7 files are images this job can read: 2 JPEG 2000 (")
    assert "1 .txt (h.txt)" in line


def test_photographs_that_cannot_be_read_make_a_folder_of_photographs(plant, free):
    """Not class folders, of which `edited` would be one."""
    assert open_source(str(plant("1.jp2", "edited/2.jpg")), free).kind == "folder"


def test_a_file_without_a_suffix_is_looked_into(plant, free):
    folder = plant("0a1b", "deep/2c3d")
    (folder / "README").write_text("hello")
    (folder / "scan").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    (folder / "phone").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    (folder / "empty").write_bytes(b"")
    notes = ListingNotes()
    source = open_source(str(folder), free)
    assert source.kind == "folder"
    assert [item.key for item in source.list(notes)] == ["0a1b", "deep/2c3d", "phone", "scan"]
    assert notes.skipped == {"without a suffix": 2}


def test_suffixes_may_be_asked_for(plant, free):
    folder = plant("1.dat", "2.jpg", "3", "4.DAT", "d/5.dat")
    source = open_source(f"{folder}?suffixes=dat,none", free)
    notes = ListingNotes()
    assert [item.key for item in source.list(notes)] == ["1.dat", "3", "4.DAT", "d/5.dat"]
    assert notes.skipped == {".jpg": 1}
    assert keys(source.spec, free) == ["1.dat", "3", "4.DAT", "d/5.dat"]
    with pytest.raises(DatasetError, match="names no suffix"):
        open_source(f"{folder}?suffixes=", free)


def test_split_folders_are_no_classes(plant, free):
    folder = plant("train/cat/1.jpg", "train/dog/deep/2.jpg", "val/cat/3.jpg", "test/4.jpg", ".cache/5.jpg")
    source = open_source(str(folder), free)
    assert source.kind == "classes"
    notes = ListingNotes()
    assert [(item.key, item.label) for item in source.list(notes)] == [
        ("test/4.jpg", None),
        ("train/cat/1.jpg", "cat"),
        ("train/dog/deep/2.jpg", "dog"),
        ("val/cat/3.jpg", "cat"),
    ]
    assert any("test, train, val are split folders" in line for line in notes.lines(4))
    val = open_source(f"{folder}?split=val", free)
    assert [(item.key, item.label) for item in val.list()] == [("val/cat/3.jpg", "cat")]
    assert keys(val.spec, free) == ["val/cat/3.jpg"]
    assert val.fetch("val/cat/3.jpg").data == jpeg(20)
    with pytest.raises(DatasetError, match="no split folder 'dev'; it has test, train, val"):
        open_source(f"{folder}?split=dev", free)


def test_one_class_called_train_among_others_is_a_class(plant, free):
    folder = plant("train/1.jpg", "bus/2.jpg", "car/3.jpg")
    assert [item.label for item in open_source(str(folder), free).list()] == ["bus", "car", "train"]


def test_folders_with_numbers_as_names_are_spoken_of(plant, free):
    notes = ListingNotes()
    labels = [
        item.label for item in open_source(str(plant("10/1.jpg", "2/2.jpg", "a/3.jpg")), free).list(notes)
    ]
    assert labels == ["10", "2", "a"]
    assert notes.lines(3) == [f"2 of 3 images: {NUMBERED} (for example 10/1.jpg)"]


def test_a_single_folder_images_is_no_class(plant, free):
    source = open_source(str(plant("images/1.jpg", "images/2.jpg")), free)
    assert (source.kind, [item.label for item in source.list()]) == ("folder", [None, None])


def test_class_folders_label_their_images(plant, free):
    source = open_source(str(plant("n01440764/1.jpg", "n01440764/deep/2.jpg", "cat/3.jpg")), free)
    assert source.kind == "classes"
    assert [(listed.key, listed.label) for listed in source.list()] == [
        ("cat/3.jpg", "cat"),
        ("n01440764/1.jpg", "n01440764"),
        ("n01440764/deep/2.jpg", "n01440764"),
    ]


def test_one_image_at_the_top_makes_it_a_plain_folder_and_a_prefix_overrules(plant, free):
    folder = plant("cat/1.jpg", "2.jpg")
    assert open_source(str(folder), free).kind == "folder"
    labels = {listed.key: listed.label for listed in open_source(f"classes:{folder}", free).list()}
    assert labels == {"2.jpg": None, "cat/1.jpg": "cat"}


def test_the_spec_of_a_source_means_the_same_from_anywhere(plant, free, monkeypatch, tmp_path):
    folder = plant("cat/1.jpg")
    monkeypatch.chdir(folder)
    spec = open_source(".", free).spec
    monkeypatch.chdir(tmp_path)
    assert keys(spec, free) == ["cat/1.jpg"]
    assert open_source(spec, free).spec == spec == f"classes:{folder}"


def test_a_folder_with_odd_letters_in_its_name_is_found(plant, free):
    folder = plant("1.jpg", base="what? a=b&c:d")
    spec = open_source(str(folder), free).spec
    assert keys(spec, free) == ["1.jpg"]


def test_fetch_gives_the_bytes_their_version_and_their_digest(plant, free):
    source = open_source(str(plant("1.jpg", "2.jpg")), free)
    listed = {item.key: item for item in source.list()}
    fetched = source.fetch("2.jpg", listed["2.jpg"].version)
    assert fetched.data == jpeg(10)
    assert fetched.sha256 == hashlib.sha256(jpeg(10)).hexdigest()
    assert fetched.version == listed["2.jpg"].version
    assert listed["2.jpg"].size == len(jpeg(10))
    assert not fetched.changed
    assert not source.fetch("2.jpg").changed
    assert decode(fetched.data).size == (6, 8)


def test_a_photograph_replaced_after_listing_says_so(plant, free):
    folder = plant("1.jpg")
    source = open_source(str(folder), free)
    before = next(iter(source.list()))
    (folder / "1.jpg").write_bytes(jpeg(200, (99, 99)))
    fetched = source.fetch(before.key, before.version)
    assert fetched.changed
    assert fetched.version != before.version
    assert fetched.data == jpeg(200, (99, 99))


def test_a_photograph_removed_after_listing_is_an_error_of_its_own(plant, free):
    folder = plant("1.jpg")
    source = open_source(str(folder), free)
    (folder / "1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1\.jpg: No such file"):
        source.fetch("1.jpg", "x")


def test_a_film_called_jpg_is_not_read(plant, free):
    folder = plant("1.jpg")
    with (folder / "1.jpg").open("r+b") as file:
        file.truncate(2**33)  # sparse
    source = open_source(str(folder), free)
    assert next(iter(source.list())).size == 2**33
    with pytest.raises(DatasetError, match="limit"):
        source.fetch("1.jpg")


def test_an_empty_folder_says_what_was_looked_for(plant, free, tmp_path):
    with pytest.raises(
        DatasetError, match=r"no images in .*; looked for \.jpg.*; left out: 1 \.txt \(notes\.txt\)"
    ):
        keys(plant("notes.txt"), free)
    with pytest.raises(DatasetError, match="does not exist"):
        open_source(str(tmp_path / "nowhere"), free)
    with pytest.raises(DatasetError, match="gfi explain"):
        open_source(str(plant("1.jpg") / "1.jpg"), free)
    with pytest.raises(DatasetError, match="not a dataset"):
        open_source(str(plant("x") / "notes.txt"), free)


def test_threads_fetch_the_same(plant, free):
    source = open_source(str(plant(*(f"{number}.jpg" for number in range(20)))), free)
    with ThreadPoolExecutor(8) as threads:
        for number, fetched in enumerate(threads.map(lambda n: source.fetch(f"{n % 20}.jpg"), range(200))):
            assert fetched.data == jpeg(number % 20 * 10)
