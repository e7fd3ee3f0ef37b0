"""Zip archives: photographs and class folders, read in place; what is dangerous is left out or refused."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from gfi.datasets import zip as archives
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import fingerprint, open_source
from gfi.store.settings import Settings


def png(shade: int = 9) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def archive(path: Path, *names: str, shade: int = 9) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, png(shade))
    return path


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (("b/2.png", "a/1.png"), [("a/1.png", "a"), ("b/2.png", "b")]),
        (("b/2.png", "1.png"), [("1.png", None), ("b/2.png", None)]),
        (("birds/b/2.png", "birds/a/1.png"), [("birds/a/1.png", "a"), ("birds/b/2.png", "b")]),
        (("train/a/1.png", "val/b/2.png"), [("train/a/1.png", "a"), ("val/b/2.png", "b")]),
        (("images/1.png", "images/2.png"), [("images/1.png", None), ("images/2.png", None)]),
    ],
)
def test_folders_in_an_archive_are_classes_as_on_a_disk(
    tmp_path: Path, free: Settings, names: tuple[str, ...], listed: list[tuple[str, str | None]]
) -> None:
    source = open_source(str(archive(tmp_path / "x.zip", *names, "__MACOSX/a/._1.png", ".DS_Store")), free)
    assert [(one.key, one.label) for one in source.list()] == listed
    assert open_source(source.spec, free).fetch(listed[0][0]).data == png()


def test_an_archive_that_is_written_again_has_changed_only_where_its_photographs_have(
    tmp_path: Path, free: Settings
) -> None:
    path = archive(tmp_path / "x.zip", "a/1.png", "b/2.png")
    source = open_source(str(path), free)
    before, version = fingerprint(source), next(iter(source.list())).version
    archive(path, "b/2.png", "a/1.png")
    assert fingerprint(source) == before
    assert not source.fetch("a/1.png", version).changed
    archive(path, "a/1.png", "b/2.png", shade=10)
    assert source.fetch("a/1.png", version).changed


def test_what_leads_out_is_a_link_or_encrypted_is_left_out_with_the_reason(
    tmp_path: Path, free: Settings
) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ok.png", png())
        file.writestr("../up.png", png())
        file.writestr("/etc/root.png", png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr(zipfile.ZipInfo("old.png"), png(), compress_type=zipfile.ZIP_LZMA)
    source, notes = open_source(str(path), free), ListingNotes()
    assert [one.key for one in source.list(notes)] == ["ok.png"]
    assert notes.skipped == {
        "name that leads out of the archive": 2,
        "link": 1,
        "compressed in a way that is not read": 1,
    }
    for key in ("../up.png", "link.png", "missing.png"):
        with pytest.raises(DatasetError):
            source.fetch(key)


def test_a_bomb_a_damaged_member_and_no_archive_are_said(
    tmp_path: Path, free: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 2**20)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(2**24))
    lying = path.read_bytes().replace((2**24).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    for data in (path.read_bytes(), lying, path.read_bytes()[:40] + b"xx" + path.read_bytes()[42:]):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"expands to more|damaged"):
            open_source(str(path), free).fetch("bomb.png")
    path.write_bytes(b"PK no")
    with pytest.raises(DatasetError, match="not a zip archive"):
        list(open_source(str(path), free).list())


def test_a_sample_of_each_class_depends_on_keys_and_seed_alone(tmp_path: Path, free: Settings) -> None:
    path = archive(tmp_path / "x.zip", *(f"{folder}/{n}.png" for folder in "ab" for n in range(9)))

    def keys(options: str) -> list[str]:
        return [one.key for one in open_source(f"{path}?{options}", free).list()]

    drawn = keys("sample=3&per=class")
    assert [key[0] for key in drawn] == [*"aaabbb"]
    assert drawn == sorted(drawn) == keys("sample=3&per=class&seed=0") != keys("sample=3&per=class&seed=1")
    assert len(keys("sample=4")) == 4
    assert len(keys("sample=100&per=class")) == 18
    source = open_source(f"{path}?sample=3&per=class", free)
    assert open_source(source.spec, free).spec == source.spec
    assert fingerprint(source) != fingerprint(open_source(f"{path}?sample=3&per=class&seed=1", free))
    archive(path, *(f"{folder}/{n}.png" for folder in "ab" for n in range(12)))
    assert len(set(keys("sample=3&per=class")) & set(drawn)) >= 3, "most of it stays when the dataset grows"
    for wrong in ("sample=0", "sample=x", "per=class", "sample=3&per=label", "sample=3&seed=-1"):
        with pytest.raises(DatasetError, match="the option"):
            open_source(f"{path}?{wrong}", free)


def test_a_path_that_is_too_long_for_a_key_is_left_out_and_ends_no_listing(
    tmp_path: Path, free: Settings
) -> None:
    long, notes = f"{'a' * 240}/" * 9 + "2.png", ListingNotes()
    source = open_source(str(archive(tmp_path / "x.zip", "1.png", long)), free)
    assert [one.key for one in source.list(notes)] == ["1.png"]
    assert notes.skipped == {"name that is too long": 1}
    with pytest.raises(DatasetError, match="name that is too long"):
        source.fetch(long)
