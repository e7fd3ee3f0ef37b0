"""The photographs that a benchmark uses, and their description."""

from pathlib import Path

import pytest

from benchmarks import photographs
from gfi import samples


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photographs"
    monkeypatch.setattr(photographs, "SHARED", folder)
    return folder


def test_without_a_shared_folder_the_samples_are_used(shared: Path) -> None:
    assert photographs.folder() == samples.path()
    assert len(photographs.files(samples.path())) == 11
    assert photographs.description(samples.path()) == "the shipped samples"


def test_photographs_that_chose_the_recipe_are_left_out(shared: Path) -> None:
    shared.mkdir()
    for name in ("d.jpg", "a.jpg", "c.PNG", "b.jpeg", "notes.txt"):
        (shared / name).touch()
    assert photographs.folder() == shared
    assert [file.name for file in photographs.files(shared)] == ["b.jpeg", "d.jpg"]
    assert "every second" in photographs.description(shared)
