"""Only files below a root are read; an error of the disk is not attributed to the image."""

import os

import pytest

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg, keys


def listed(folder, settings) -> tuple[list[str], dict[str, int]]:
    """The keys of a folder, and what is left out."""
    notes = ListingNotes()
    return [item.key for item in open_source(str(folder), settings).list(notes)], notes.skipped


def test_a_failing_disk_is_not_the_images_fault(plant, free, monkeypatch):
    source = open_source(str(plant("1.jpg")), free)

    def broken(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(local, "open_regular", broken)
    with pytest.raises(Unavailable, match="now"):
        source.fetch("1.jpg")


def test_an_unreadable_folder_is_one_clear_error(plant, free, monkeypatch):
    folder = plant("a/1.jpg", "b/2.jpg")
    scan = os.scandir

    def denied(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)  # CI runs as root, who may read everything
    with pytest.raises(DatasetError, match=r"cannot read .*/b: Permission denied"):
        keys(folder, free)


def test_a_name_that_is_not_utf8_is_left_out_and_counted(plant, free):
    folder = plant("1.jpg")
    (folder / os.fsdecode(b"\xff.jpg")).touch()
    assert listed(folder, free) == (["1.jpg"], {"name that is not UTF-8": 1})


def test_a_path_that_is_too_long_for_a_key_is_left_out_and_ends_no_listing(plant, free):
    deep = "/".join(["a" * 240] * 8)
    folder = plant("1.jpg", f"{deep}/2.jpg", f"{deep}/{'3' * 150}.jpg", f"{deep}/{'b' * 150}/4.jpg")
    assert listed(folder, free) == (["1.jpg", f"{deep}/2.jpg"], {"name that is too long": 2})


def test_links_inside_are_followed(plant, free):
    folder = plant("store/1.jpg", "2.jpg")
    (folder / "link.jpg").symlink_to(folder / "store/1.jpg")
    (folder / "more").symlink_to(folder / "store")
    assert keys(folder, free) == ["2.jpg", "link.jpg", "more/1.jpg", "store/1.jpg"]
    assert open_source(str(folder), free).fetch("more/1.jpg").data == jpeg(0)


@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_link_that_leads_out_is_left_out_and_not_fetched(plant, free, of):
    outside = plant("secret.jpg", base="outside")
    folder = plant("1.jpg")
    link = folder / ("link.jpg" if of == "file" else "link")
    link.symlink_to(outside / "secret.jpg" if of == "file" else outside)
    source = open_source(str(folder), free)
    assert listed(folder, free) == (["1.jpg"], {"link that leads out of the dataset": 1})
    with pytest.raises(DatasetError, match="outside the dataset"):
        source.fetch("link.jpg" if of == "file" else "link/secret.jpg")


def test_a_link_into_another_configured_root_is_followed(plant):
    store, folder = plant("1.jpg", base="store"), plant("2.jpg")
    (folder / "link.jpg").symlink_to(store / "1.jpg")
    settings = Settings(dataset_roots=(store, folder))
    assert keys(folder, settings) == ["2.jpg", "link.jpg"]


def test_a_folder_of_nothing_but_links_that_lead_out_says_so(plant, free):
    outside = plant("secret.jpg", base="outside")
    folder = plant()
    (folder / "link.jpg").symlink_to(outside / "secret.jpg")
    with pytest.raises(
        DatasetError, match=r"no images .*left out: 1 link that leads out of the dataset \(link\.jpg\)"
    ):
        keys(folder, free)


def test_a_link_to_nothing_is_counted(plant, free):
    folder = plant("1.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    assert listed(folder, free) == (["1.jpg"], {"file that is gone": 1})


def test_a_folder_that_contains_itself_is_read_once(plant, free):
    folder = plant("a/1.jpg")
    (folder / "a" / "again").symlink_to(folder)
    assert listed(folder, free) == (["a/1.jpg"], {"link to a folder that contains it": 1})


@pytest.mark.parametrize(
    "key",
    [
        "../outside/secret.jpg",
        "a/../../outside/secret.jpg",
        "..",
        "",
        "a\0b.jpg",
        "%2e%2e/outside/secret.jpg",
        "..\\outside\\secret.jpg",
        "....//outside/secret.jpg",
        "x" * 5000,
        "a/" * 3000 + "1.jpg",
    ],
)
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
