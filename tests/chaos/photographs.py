"""Thousands of tiny photographs, each a function of its number, so that every run explains the same bytes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.chaos.fake import POISON

SIDE = 6


@dataclass(frozen=True)
class Photographs:
    """A folder of such photographs."""

    folder: Path
    count: int

    def keys(self) -> list[str]:
        """The keys of the listing, in its order."""
        return sorted(path.name for path in self.folder.iterdir())


def make(folder: Path, count: int, poison: dict[int, str] | None = None) -> Photographs:
    """Write `count` photographs; `poison` says which of them request a fault of `fake.POISON`, or are `unreadable`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 240, (SIDE, SIDE, 3), np.uint8)
        order = (poison or {}).get(number)
        if order in POISON:
            pixels[0, 0] = POISON[order]
        data = b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels.tobytes()
        (folder / f"{number:06d}.ppm").write_bytes(b"not a picture" if order == "unreadable" else data)
    return Photographs(folder, count)
