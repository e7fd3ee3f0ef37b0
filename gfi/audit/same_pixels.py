"""S4: the same pixels again and again, at one place or wherever the masks peak.

Crops are high-passed (less their Gaussian blur), and two crops are compared by normalised cross-correlation, the
highest over small shifts:

    NCC(a, b) = max over shifts of ⟨a', b'⟩ / (‖a'‖ ‖b'‖),   a' = a less its mean

A watermark repeats pixel by pixel; a dog's head at the same place does not. A crop is *repeated* when at least a fifth
of the other crops of its class match it. S4 compares the share of repeated crops within the class with the share of
other classes' crops that match as many of the class's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.bounds import share_lower_bound
from gfi.audit.places import Place

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def high_passed(images: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """The brightness of images (N, H, W, 3) less its Gaussian blur: (N, H, W)."""
    grey = images.astype(np.float32) @ _LUMA
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    soft = grey
    for axis in (1, 2):
        widths = [(0, 0)] * 3
        widths[axis] = (radius, radius)
        padded = np.pad(soft, widths, mode="reflect" if soft.shape[axis] > radius else "edge")
        view = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        soft = view @ kernel
    return grey - soft


def windows(maps: NDArray[np.float32], places: list[Place], margin: int) -> NDArray[np.float32]:
    """The pixels of each map (N, H, W) at its place and `margin` pixels around: (N, t + 2·margin, t' + 2·margin).

    What lies outside the image is zero. All places have the same sides.
    """
    padded = np.pad(maps, ((0, 0), (margin, margin), (margin, margin)))
    out = []
    for one, place in zip(padded, places, strict=True):
        top, bottom, left, right = place.pixels((maps.shape[1], maps.shape[2]))
        out.append(one[top : bottom + 2 * margin, left : right + 2 * margin])
    return np.stack(out) if out else np.zeros((0, 1, 1), np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors = vectors - vectors.mean(1, keepdims=True)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    # A flat crop matches nothing: without this, rounding noise of a plain background would be compared.
    return np.where(norm > 1.0 * np.sqrt(vectors.shape[1]), vectors / np.maximum(norm, 1e-6), 0).astype(
        np.float32
    )


def matches(
    patterns: NDArray[np.float32], searched: NDArray[np.float32], margin: int, step: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The highest NCC of each pattern in each window.

    Parameters
    ----------
    patterns
        (n, t, t') pixels.
    searched
        (m, t + 2·margin, t' + 2·margin).
    step
        Pixels between the shifts tried.

    Returns
    -------
    tuple of ndarray
        NCC (n, m) in [−1, 1] and the best shift (n, m, 2): down, right.
    """
    n, t, u = patterns.shape
    left = _unit(patterns.reshape(n, -1))
    best = np.full((n, len(searched)), -1, np.float32)
    shift = np.zeros((n, len(searched), 2), np.int64)
    for down in range(0, 2 * margin + 1, step):
        for right in range(0, 2 * margin + 1, step):
            part = searched[:, down : down + t, right : right + u].reshape(len(searched), -1)
            ncc = left @ _unit(part).T
            better = ncc > best
            best[better] = ncc[better]
            shift[better] = (down - margin, right - margin)
    return best, shift


@dataclass(frozen=True)
class SamePixels:
    """S4 at one candidate.

    repeated of crops: of the class; foreign of others: crops of other classes that match as many of the class's.
    ncc, ncc_across: the mean NCC of two crops of the class, and of one of it with one of another class.
    """

    repeated: int
    crops: int
    foreign: int
    others: int
    ncc: float
    ncc_across: float

    def holds(self, share: float, level: float = 0.05) -> bool:
        """Whether the lower bound of the share of repeated crops, less the others' share, reaches `share`."""
        if self.crops < 4:
            return False
        across = self.foreign / max(self.others, 1)
        return share_lower_bound(self.repeated, self.crops, level) - across >= share


def compare(
    own: NDArray[np.float32], foreign: NDArray[np.float32], margin: int, match: float, step: int = 1
) -> SamePixels:
    """S4 on windows of the class (n, …) and of other classes (m, …), both with `margin` pixels around each crop."""
    inner = slice(margin, -margin) if margin else slice(None)
    within, _ = matches(own[:, inner, inner], own, margin, step)
    within = np.maximum(within, within.T)
    np.fill_diagonal(within, np.nan)
    n = len(own)
    needed = max(2, round(0.2 * (n - 1)))
    repeated = int(((within >= match).sum(1) >= needed).sum())
    across = (
        matches(own[:, inner, inner], foreign, margin, step)[0]
        if len(foreign)
        else np.zeros((n, 0), np.float32)
    )
    similar = int(((across >= match).sum(0) >= needed).sum())
    mean = float(np.nanmean(within)) if n > 1 else 0.0
    return SamePixels(repeated, n, similar, len(foreign), mean, float(across.mean()) if across.size else 0.0)


@dataclass(frozen=True)
class Pattern:
    """Pixels (t, t) that repeat in a class, and in how many of its images."""

    pixels: NDArray[np.float32]
    images: int
    of: int


def repeating(
    searched: NDArray[np.float32],
    image: NDArray[np.integer],
    foreign: NDArray[np.float32],
    margin: int,
    match: float,
    step: int = 1,
) -> Pattern | None:
    """The pattern that most images of a class share at any of their peaks, if other classes do not have it.

    searched: (n, …) windows at the peaks of the images `image` (n,); foreign: windows at peaks of other classes.
    """
    inner = slice(margin, -margin) if margin else slice(None)
    centre = searched[:, inner, inner]
    ncc, shift = matches(centre, searched, margin, step)
    hits = ncc >= match
    shares = np.zeros(len(searched), np.int64)
    for i in range(len(searched)):
        shares[i] = len(np.unique(image[hits[i]]))
    total = len(np.unique(image))
    best = int(shares.argmax()) if len(shares) else 0
    if not len(shares) or shares[best] < max(4, 0.08 * total):
        return None
    # Around the aligned matches: the pixels that repeat reach beyond the crop, or fill only a part of it.
    t, u = centre.shape[1:]
    reach = margin // 2
    aligned = []
    for j in np.flatnonzero(hits[best]):
        dy, dx = shift[best, j]
        if max(abs(dy), abs(dx)) > margin - reach:
            continue  # its surroundings are not in the window
        top, left = margin + dy - reach, margin + dx - reach
        aligned.append(searched[j, top : top + t + 2 * reach, left : left + u + 2 * reach])
    pixels = _repeated_part(np.stack(aligned))
    if len(foreign):
        spare = (foreign.shape[1] - pixels.shape[0]) // 2
        across = float((matches(pixels[None], foreign, max(spare, 0), step)[0][0] >= match).mean())
        if across > shares[best] / total / 3:
            return None
    return Pattern(pixels, int(shares[best]), total)


def holds_pattern(
    pattern: NDArray[np.float32], searched: NDArray[np.float32], match: float, step: int = 1
) -> NDArray[np.bool_]:
    """Whether a window (n, …) has the pattern (t, t) anywhere in it: (n,). None has one that is larger."""
    if not len(searched) or pattern.shape[0] > min(searched.shape[1:]):
        return np.zeros(len(searched), bool)
    spare = (min(searched.shape[1:]) - pattern.shape[0]) // 2
    return np.asarray(matches(pattern[None], searched, spare, step)[0][0] >= match)


def _repeated_part(aligned: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of aligned windows (n, T, T), cut to the square where they agree.

    A pixel agrees when its mean explains at least half of its mean square; single pixels agree by chance, so rows and
    columns count as repeated where a quarter of the largest number of their pixels do.
    """
    mean = aligned.mean(0, dtype=np.float64)
    power = (aligned.astype(np.float64) ** 2).mean(0)
    agree = (mean**2 >= 0.5 * power) & (power >= 0.25 * np.median(power))
    sides = []
    for axis in (1, 0):
        line = agree.sum(axis)
        where = np.flatnonzero(line >= max(2, 0.4 * line.max()))
        sides.append((int(where[0]), int(where[-1]) + 1) if len(where) else (0, len(line)))
    (top, bottom), (left, right) = sides
    side = min(max(bottom - top, right - left, 5), len(mean))
    top = min(max((top + bottom - side) // 2, 0), len(mean) - side)
    left = min(max((left + right - side) // 2, 0), len(mean) - side)
    return mean[top : top + side, left : left + side].astype(np.float32)
