"""Masks whose answer is known by construction: white inside a rectangle of the upright photograph."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gfi.domain.geometry import Rectangle, whole
from gfi.domain.statuses import ImageStatus
from gfi.reproduce.experiment import Ask, Masked, Read

INPUT = 40
"""Side of the network's input: photographs have sides of multiples of it, so that rectangles lie on its cells."""


def photograph(file: Path, width: int, height: int, orientation: int = 1) -> None:
    """A JPEG of width × height as it is stored."""
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", (width, height), 128).save(file, "JPEG", exif=exif)


def mask_of(region: Rectangle, size: tuple[int, int], around: float = 0.0) -> np.ndarray:
    """(INPUT, INPUT): 1 inside `region` of the photograph of `size` (H, W), `around` elsewhere."""
    left, right = (round(edge * INPUT / size[1]) for edge in (region[0], region[2]))
    top, bottom = (round(edge * INPUT / size[0]) for edge in (region[1], region[3]))
    mask = np.full((INPUT, INPUT), around, np.float32)
    mask[top:bottom, left:right] = 1.0
    return mask


def reading(
    sizes: Mapping[str, tuple[int, int]],
    marked: Mapping[str, Rectangle | None],
    around: Callable[[Ask], float] = lambda ask: 0.0,
    predictions: Mapping[str, int] | None = None,
) -> Read:
    """What a job would leave: by the name of an image the size (H, W) of the upright photograph, and the rectangle that
    its mask marks (None: it has no mask). Images that `sizes` does not name could not be read."""

    def read(ask: Ask) -> Iterator[Masked]:
        for example in ask.listing.examples:
            name = Path(example.key).stem
            if name not in sizes:
                yield Masked(example, ImageStatus.ERROR)
                continue
            region = marked[name]
            mask = None if region is None else mask_of(region, sizes[name], around(ask))
            yield Masked(
                example,
                ImageStatus.OK if region is not None else ImageStatus.EMPTY,
                mask,
                sizes[name],
                whole(sizes[name]),
                (predictions or {}).get(name),
                ask.listing.root / example.key,
            )

    return read
