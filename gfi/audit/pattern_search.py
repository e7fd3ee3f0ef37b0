"""Where a repeated pattern lies in photographs: searched for near the peaks of their masks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gfi.audit.explained import Explained, Photographs
from gfi.audit.grids import resized
from gfi.audit.local_peaks import peaks
from gfi.audit.places import Place, around
from gfi.audit.same_pixels import high_passed, matches, windows
from gfi.audit.settings import AuditSettings


def top_peaks(
    grid: NDArray[np.floating], cells: int, most: int, share_of_maximum: float
) -> list[tuple[float, float]]:
    """The centres (x, y) in [0, 1] of the highest local peaks of a mask (h, w), at most `most`."""
    small = resized(grid[None], cells)
    found = peaks(small, share_of_maximum)[0]
    heights = np.where(found, small[0], -1).ravel()
    order = [i for i in np.argsort(-heights, kind="stable")[:most] if heights[i] > 0]
    return [((i % cells + 0.5) / cells, (i // cells + 0.5) / cells) for i in order]


def peaks_at(grids: NDArray[np.floating], place: Place, share_of_maximum: float) -> NDArray[np.bool_]:
    """Whether a mask (N, h, w) has a local peak within the place, on 14×14 cells: (N,)."""
    cells = 14
    found = peaks(resized(grids, cells), share_of_maximum)
    centres = (np.arange(cells) + 0.5) / cells
    inside = ((centres >= place.top) & (centres <= place.bottom))[:, None] & (
        (centres >= place.left) & (centres <= place.right)
    )[None]
    return np.asarray(np.count_nonzero(found & inside, axis=(1, 2)) > 0)


def peak_windows(
    data: Explained,
    rows: NDArray[np.intp],
    photographs: Photographs,
    settings: AuditSettings,
    margins: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.intp], list[Place]]:
    """High-passed windows at the three highest peaks of each image: (n, …), the row of each, and its place.

    A window is a crop and `margins` times the margin around it.
    """
    if not len(rows):
        return np.zeros((0, 1, 1), np.float32), rows, []
    shown = photographs(rows)
    filtered = high_passed(shown, sigma_of(shown.shape[2]))
    owners, places = [], []
    for position, row in enumerate(rows):
        for x, y in top_peaks(data.grids[row], 14, 3, settings.peak_share_of_maximum):
            owners.append(position)
            places.append(around(x, y, crop_side()))
    margin = margins * margin_of(shown.shape[2])
    at = np.array(owners, np.intp)
    return windows(filtered[at], places, margin), rows[at], places


def crop_side() -> float:
    """Side of the crops that are compared: smaller than a place, since they are searched for within a margin."""
    return 0.19


def sigma_of(width: int) -> float:
    """σ of the high pass for a view of this width: 3 % of it."""
    return max(1.0, 0.03 * width)


def margin_of(width: int) -> int:
    """Pixels by which a crop is shifted when a pattern is searched for: a tenth of the view."""
    return max(1, round(0.1 * width))


def step_of(width: int) -> int:
    """Pixels between two shifts: one for a view of 64 pixels, three for 224."""
    return max(1, round(width / 70))


PATTERN_MARGIN = 1.25
"""The side of the place of a pattern, as a multiple of the pattern's own."""


def found_pattern(
    data: Explained,
    rows: NDArray[np.intp],
    pattern: NDArray[np.float32],
    photographs: Photographs,
    s: AuditSettings,
) -> dict[int, Place]:
    """The images among `rows` with the pattern near a peak of their mask, and where: the pattern and a little more."""
    return around_patterns(pattern_centres(data, rows, pattern, photographs, s), pattern, photographs, rows)


def around_patterns(
    centres: Mapping[int, tuple[float, float]],
    pattern: NDArray[np.float32],
    photographs: Photographs,
    rows: NDArray[np.intp],
    times: float = PATTERN_MARGIN,
) -> dict[int, Place]:
    """Squares around the centres, `times` as wide as the pattern."""
    if not centres:
        return {}
    side = times * pattern.shape[0] / view_width(photographs, rows)
    return {image: around(x, y, side) for image, (x, y) in centres.items()}


def pattern_centres(
    data: Explained,
    rows: NDArray[np.intp],
    pattern: NDArray[np.float32],
    photographs: Photographs,
    s: AuditSettings,
) -> dict[int, tuple[float, float]]:
    """The images among `rows` with the pattern near a peak of their mask, and its middle (x, y) in each.

    Searched in twice the margin: what repeats need not lie in the middle of the crop that it was found by.
    """
    searched, owner, places = peak_windows(data, rows, photographs, s, margins=2)
    if not len(searched):
        return {}
    side, (tall, wide) = pattern.shape[0], searched.shape[1:]
    if side > min(tall, wide):
        return {}
    spare = (min(tall, wide) - side) // 2
    width = view_width(photographs, rows)
    ncc, shift = matches(pattern[None], searched, spare, step_of(width))
    found: dict[int, tuple[float, float]] = {}
    for i in np.argsort(-ncc[0], kind="stable"):
        if ncc[0, i] < s.match or int(owner[i]) in found:
            continue
        # The window is the crop and the same margin on every side; the pattern lies at the shift from its middle.
        top, bottom, left, right = places[i].pixels((width, width))
        x = ((left + right) / 2 + shift[0, i, 1]) / width
        y = ((top + bottom) / 2 + shift[0, i, 0]) / width
        found[int(owner[i])] = (float(x), float(y))
    return found


def view_width(photographs: Photographs, rows: NDArray[np.intp]) -> int:
    """The width of the network's view in pixels."""
    return int(photographs(rows[:1]).shape[2])
