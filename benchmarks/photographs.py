"""The photographs of the benchmarks: those of a shared folder if it exists, otherwise the shipped samples."""

from pathlib import Path

from gfi import samples

SHARED = Path(__file__).parents[2] / "shared" / "data" / "photographs"
"""Photographs outside the repository. Every second one, in order of name, was used to choose the recipe of `tuned`;
benchmarks of quality use the others."""


def folder() -> Path:
    """The shared folder if it exists, otherwise that of the samples."""
    return SHARED if SHARED.is_dir() else samples.path()


def files(directory: Path) -> list[Path]:
    """The photographs in a folder, in order of name; of the shared folder those that were not used to choose the
    recipe."""
    names = sorted(f for f in directory.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return names[1::2] if directory == SHARED else names


def description(directory: Path) -> str:
    """The description of these photographs on a page."""
    if directory == SHARED:
        return "every second photograph of ../shared/data/photographs"
    return "the shipped samples" if directory == samples.path() else str(directory)
