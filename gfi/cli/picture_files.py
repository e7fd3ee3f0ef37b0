"""The picture files that `gfi explain` writes: their names, their folder, and masks in the photograph's pixels."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gfi.cli.errors import CommandError
from gfi.datasets.decode import Photograph
from gfi.domain import geometry
from gfi.domain.recipes import Recipe

OPACITY = 0.55
"""Opacity of a mask over its photograph."""


def make_writable(output: Path) -> None:
    """Create the folder. Raises CommandError if it cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".gfi-writable").touch()
        (output / ".gfi-writable").unlink()
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}; choose another folder with --output"
        ) from error


def stems(photos: Sequence[Path]) -> list[str]:
    """The beginning of each photograph's picture names; a number distinguishes photographs with the same name."""
    seen: dict[str, int] = {}
    names = []
    for photo in photos:
        seen[photo.stem] = seen.get(photo.stem, 0) + 1
        names.append(photo.stem if seen[photo.stem] == 1 else f"{photo.stem}-{seen[photo.stem]}")
    return names


def class_in_file_name(name: object) -> str:
    """`tiger cat` as tiger-cat: letters, digits and hyphens, at most 40 characters."""
    return re.sub(r"[^A-Za-z0-9]+", "-", str(name)).strip("-")[:40] or "class"


def mask_on_photograph(
    grid: NDArray[np.float32],
    size: tuple[int, int],
    recipe: Recipe,
    photograph: Photograph,
    box: geometry.Rectangle,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mask at the network's input size, `size` (H, W), and on the whole photograph; both float32 in [0, 1].

    box: the part of the original that the network saw, in its pixels: left, top, right, bottom.
    """
    mask = geometry.draw(grid, size, recipe.align_corners)
    decoded = (
        photograph.rgb.shape[0],
        photograph.rgb.shape[1],
    )  # a large photograph is decoded at a smaller size
    return mask, geometry.place(mask, decoded, geometry.scaled(box, photograph.size, decoded))
