"""Regions as boxes and as the run lengths of COCO, CVAT and Label Studio. numpy only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Region = NDArray[np.bool_]
"""(H, W), true inside."""


def box_of(region: Region) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom), half-open, of the smallest box around a region; None for an empty one.

    >>> box_of(np.array([[False, False], [False, True]]))
    (1, 1, 2, 2)
    """
    down, across = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if not len(down):
        return None
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def runs(values: NDArray[np.bool_]) -> list[int]:
    """Run lengths, of false first.

    >>> runs(np.array([True, True, False]))
    [0, 2, 1]
    """
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(values)]])
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if len(values) and values[0] else lengths


def coco_counts(region: Region) -> str:
    """COCO's compressed run lengths, down the columns, as `pycocotools.mask` writes them.

    Each length after the second is stored as the difference to the one two before, in groups of five bits, the lowest
    first; bit 6 says that another group follows.
    """
    lengths = runs(region.ravel(order="F"))
    letters = []
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            letters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(letters)


def label_studio_rle(region: Region) -> list[int]:
    """The bytes of Label Studio's brush: a bit stream of runs over red, green, blue and opacity of every pixel.

    32 bits: how many values; 5: bits of a value − 1; four times 4: bits of a length − 1; then for each run one bit (1:
    a repeated value), two that choose the bits of its length, the length − 1, and the value.
    """
    size = 4 * region.size
    bits = [f"{size:032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for length, value in _alternating(runs(region.ravel())):
        left = 4 * length
        while left:
            run = min(left, 1 << _WIDTHS[-1])
            which = next(place for place, width in enumerate(_WIDTHS) if run <= 1 << width)
            bits.append(f"1{which:02b}{run - 1:0{_WIDTHS[which]}b}{255 if value else 0:08b}")
            left -= run
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return list(int(stream, 2).to_bytes(len(stream) // 8, "big"))


_WIDTHS = (3, 4, 8, 16)


def _alternating(lengths: list[int]) -> Iterator[tuple[int, bool]]:
    for place, length in enumerate(lengths):
        if length:
            yield length, bool(place % 2)
