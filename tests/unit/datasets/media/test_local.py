"""Files below a root and nothing outside; a failing disk is not the image's fault."""

import os

import pytest

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.media import local
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg, keys


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
