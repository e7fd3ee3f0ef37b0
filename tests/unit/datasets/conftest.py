"""Small photographs and datasets, generated for each test."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.listing import Listed
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings


def jpeg(colour: int = 0, size: tuple[int, int] = (8, 6)) -> bytes:
    """A JPEG of one grey; different colours give different bytes."""
    buffer = io.BytesIO()
    Image.new("L", size, colour % 256).save(buffer, "JPEG")
    return buffer.getvalue()


def thing(name: str, left: int, top: int, right: int, bottom: int, difficult: int = 0) -> str:
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin>"
        f"<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
    )


def keys(spec: object, settings: Settings) -> list[str]:
    """The keys that the dataset `spec` lists."""
    return [listed.key for listed in open_source(str(spec), settings).list()]


BOX = Box(None, 8, 9, 24, 25)


def rows_of(path: Path, settings: Settings, options: str = "") -> tuple[list[Listed], list[str]]:
    """The listing of a manifest, and its notes."""
    notes = ListingNotes()
    listed = list(open_source(f"{path}{options}", settings).list(notes))
    return listed, notes.lines(len(listed))


@pytest.fixture
def free() -> Settings:
    """No roots configured, as on the machine of a single user."""
    return Settings()


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """plant("a/1.jpg", "a/2.jpg", base="x") writes them below tmp_path/x and returns that folder."""

    def write(*names: str, base: str = "data") -> Path:
        folder = tmp_path / base
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(number * 10))
        return folder

    return write
