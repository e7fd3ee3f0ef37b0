"""Folders and class folders: nothing missed, nothing twice, nothing outside."""

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.external_sort import sorted_names
from gfi.datasets.media import local
from gfi.datasets.sources import fingerprint, open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg


def keys(spec, settings) -> list[str]:
    return [listed.key for listed in open_source(str(spec), settings).list()]


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
    folder = plant("1.jpg", ".hidden.jpg", "._1.jpg", ".cache/2.jpg", "notes.txt", "jpg", "sub/.DS_Store")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    assert keys(folder, free) == ["1.jpg"]


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


def test_a_failing_disk_is_not_the_images_fault(plant, free, monkeypatch):
    source = open_source(str(plant("1.jpg")), free)

    def broken(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(local, "open_regular", broken)
    with pytest.raises(Unavailable, match="now"):
        source.fetch("1.jpg")


def test_a_film_called_jpg_is_not_read(plant, free):
    folder = plant("1.jpg")
    with (folder / "1.jpg").open("r+b") as file:
        file.truncate(2**33)  # sparse
    source = open_source(str(folder), free)
    assert next(iter(source.list())).size == 2**33
    with pytest.raises(DatasetError, match="limit"):
        source.fetch("1.jpg")


def test_an_empty_folder_says_what_was_looked_for(plant, free, tmp_path):
    with pytest.raises(DatasetError, match=r"no images in .*; looked for \.jpg"):
        keys(plant("notes.txt"), free)
    with pytest.raises(DatasetError, match="does not exist"):
        open_source(str(tmp_path / "nowhere"), free)
    with pytest.raises(DatasetError, match="gfi explain"):
        open_source(str(plant("1.jpg") / "1.jpg"), free)
    with pytest.raises(DatasetError, match="no dataset"):
        open_source(str(plant("x") / "notes.txt"), free)


def test_an_unreadable_folder_is_one_clear_error(plant, free, monkeypatch):
    folder = plant("a/1.jpg", "b/2.jpg")
    scan = os.scandir

    def denied(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)  # root, who runs CI, may read everything
    with pytest.raises(DatasetError, match=r"cannot read .*/b: Permission denied"):
        keys(folder, free)


def test_a_name_that_is_not_utf8_is_named(plant, free):
    folder = plant("1.jpg")
    try:
        (folder / os.fsdecode(b"\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(DatasetError, match="not UTF-8"):
        keys(folder, free)


# --- staying inside ------------------------------------------------------------------------------------


def test_links_inside_are_followed(plant, free):
    folder = plant("store/1.jpg", "2.jpg")
    (folder / "link.jpg").symlink_to(folder / "store/1.jpg")
    (folder / "more").symlink_to(folder / "store")
    assert keys(folder, free) == ["2.jpg", "link.jpg", "more/1.jpg", "store/1.jpg"]
    assert open_source(str(folder), free).fetch("more/1.jpg").data == jpeg(0)


@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_link_that_leads_out_is_refused_in_listing_and_fetching(plant, free, of):
    outside = plant("secret.jpg", base="outside")
    folder = plant("1.jpg")
    link = folder / ("link.jpg" if of == "file" else "link")
    link.symlink_to(outside / "secret.jpg" if of == "file" else outside)
    source = open_source(str(folder), free)
    with pytest.raises(DatasetError, match="outside the dataset"):
        list(source.list())
    with pytest.raises(DatasetError, match="outside the dataset"):
        source.fetch("link.jpg" if of == "file" else "link/secret.jpg")


def test_a_link_into_another_configured_root_is_followed(plant):
    store, folder = plant("1.jpg", base="store"), plant("2.jpg")
    (folder / "link.jpg").symlink_to(store / "1.jpg")
    settings = Settings(dataset_roots=(store, folder))
    assert keys(folder, settings) == ["2.jpg", "link.jpg"]


def test_a_folder_that_contains_itself_is_refused(plant, free):
    folder = plant("a/1.jpg")
    (folder / "a" / "again").symlink_to(folder)
    with pytest.raises(DatasetError, match="contains it"):
        keys(folder, free)


@pytest.mark.parametrize(
    "key",
    ["../outside/secret.jpg", "a/../../outside/secret.jpg", "..", "", "a\0b.jpg", "%2e%2e/outside/secret.jpg",
     "..\\outside\\secret.jpg", "....//outside/secret.jpg", "x" * 5000, "a/" * 3000 + "1.jpg"],
)  # fmt: skip
def test_a_key_reaches_nothing_outside(plant, free, key):
    plant("secret.jpg", base="outside")
    with pytest.raises(DatasetError):
        open_source(str(plant("a/1.jpg", "2.jpg")), free).fetch(key)


def test_an_absolute_key_reaches_nothing_outside(plant, free):
    secret = plant("secret.jpg", base="outside") / "secret.jpg"
    source = open_source(str(plant("1.jpg")), free)
    with pytest.raises(DatasetError, match="outside the dataset"):
        source.fetch(str(secret))
    with pytest.raises(DatasetError, match="not a regular file"):
        open_source("folder:/", free).fetch("dev/zero")


def test_only_configured_roots_are_opened(plant, tmp_path):
    folder = plant("1.jpg")
    outside = plant("2.jpg", base="database")  # a name that starts like the root's
    settings = Settings(dataset_roots=(folder,))
    assert keys(folder, settings) == ["1.jpg"]
    (tmp_path / "alias").symlink_to(outside)
    (folder / "way-out").symlink_to(outside)
    for spec in (
        outside,
        tmp_path / "alias",
        folder / ".." / "database",
        folder / "way-out",
        tmp_path / "nowhere",
        "/",
    ):
        for prefix in ("", "folder:", "classes:", "voc:", "imagenet:", "tar:"):
            with pytest.raises(DatasetError, match="outside the dataset roots"):
                open_source(f"{prefix}{spec}", settings)


def test_a_wrong_spec_is_one_clear_line(plant, free):
    folder = plant("1.jpg")
    for spec in ("", "folder:", "a\0b", "~nobody-of-that-name/x", "x" * 5000, f"folder:{folder}?split=test"):
        with pytest.raises(DatasetError) as caught:
            open_source(spec, free)
        assert "\n" not in str(caught.value)


# --- size and repetition -------------------------------------------------------------------------------


def test_threads_fetch_the_same(plant, free):
    source = open_source(str(plant(*(f"{number}.jpg" for number in range(20)))), free)
    with ThreadPoolExecutor(8) as threads:
        for number, fetched in enumerate(threads.map(lambda n: source.fetch(f"{n % 20}.jpg"), range(200))):
            assert fetched.data == jpeg(number % 20 * 10)


def test_a_huge_directory_is_sorted_through_files():
    names = [f"{random.Random(n).random()} é\n{n}" for n in range(1000)]
    assert list(sorted_names(names, run=64)) == sorted(names)
    assert list(sorted_names(names, run=1000)) == sorted(names)
    assert list(sorted_names([], run=64)) == []


def test_the_fingerprint_changes_with_the_dataset_and_only_then(plant, free):
    folder = plant("a/1.jpg", "a/2.jpg")
    first = fingerprint(open_source(str(folder), free))
    assert fingerprint(open_source(str(folder), free)) == first
    assert fingerprint(open_source(f"folder:{folder}", free)) != first  # no labels now
    os.utime(folder / "a/1.jpg", ns=(1, 1))
    touched = fingerprint(open_source(str(folder), free))
    plant("a/3.jpg")
    assert len({first, touched, fingerprint(open_source(str(folder), free))}) == 3
