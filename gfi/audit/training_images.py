"""Whether the pixels of a confirmed shortcut are also in the images that the model was trained on.

A mark that came only after the training is in none of them, and nothing in the audited images tells it from one that
was there. The whole view of each training image is searched, not the peaks of its mask, so no masks are needed:

    NCC(a, b) = max over all shifts of ⟨a', b'⟩ / (‖a'‖ ‖b'‖),   a' = a less its mean

a is the repeated pattern at seven sizes, since training images may have another resolution than the audited ones.

"None" is worth what the search can see. So it is also made in the audited images in which the pattern was confirmed,
and finds it in a share of at least s of them. If X of the N training images of a class have the pattern and m of N are
searched,

    P(none is found) ≤ (1 − s·m/N)^X,

since images are drawn without replacement; the largest X for which this is at least half the level is not excluded. The
other half is spent on s. The audited images were chosen because the pattern was found in them, so s is the sight for
marks as clear as theirs: of fainter ones the bound says nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft

from gfi.audit.bounds import share_lower_bound
from gfi.audit.explained import Photographs
from gfi.audit.pattern_search import margin_of, sigma_of, step_of
from gfi.audit.plan import Plan
from gfi.audit.same_pixels import high_passed, repeating, windows
from gfi.audit.settings import AuditSettings

SIZES = (0.65, 0.75, 0.87, 1.0, 1.15, 1.33, 1.5)
"""Of the pattern that is looked for, as multiples of its own."""
SMALLEST = 12
"""Pixels along the side of what is searched for: a thick cross of 8 pixels was found in each of 12 clean textures, at
six to ten pixels."""
PIXELS = 2**21
"""Of the images that are searched at once, at most."""


@dataclass(frozen=True)
class InTraining:
    """What a search of training images found: `found` of the `images` that were searched have the pattern.

    listed: training images of the class, searched or not. seen of audited: of the audited images in which the pattern
    was confirmed, those in which the same search finds it. at_most: where none was found, the share of `listed` that
    may have it all the same; else 1. too_small: whether the pattern is, so that nothing was searched.
    """

    found: int
    images: int
    listed: int
    seen: int
    audited: int
    at_most: float
    too_small: bool = False


def in_training(found: int, images: int, listed: int, seen: int, audited: int, level: float) -> InTraining:
    """What a search found, with its bound. See the head of this module.

    >>> in_training(0, 200, 200, 16, 16, 0.05).at_most
    0.01
    """
    at_most = 1.0
    sees = share_lower_bound(seen, audited, level / 2)
    if not found and images and sees > 0:
        left = math.floor(math.log(level / 2) / math.log(1 - sees * images / listed))
        at_most = min(1.0, left / listed)
    return InTraining(found, images, listed, seen, audited, at_most)


def highest_ncc(pattern: NDArray[np.float32], maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """The highest NCC of a pattern (t, t) with any window of each map (N, H, W), high-passed as the pattern is: (N,).

    Half of the pattern may lie outside the map, which is zero there. −1 where the map has no texture, or is smaller.
    """
    t = pattern.shape[0]
    if not len(maps) or t > min(maps.shape[1:]):
        return np.full(len(maps), -1.0)
    zero_mean = (pattern - pattern.mean()).astype(np.float64)
    around = t // 2
    padded = np.pad(maps.astype(np.float64), ((0, 0), (around, around), (around, around)))
    size = tuple(fft.next_fast_len(side, real=True) for side in padded.shape[1:])
    kernel = np.conj(fft.rfft2(zero_mean, size))
    tall, wide = (side - t + 1 for side in padded.shape[1:])
    products = fft.irfft2(fft.rfft2(padded, size) * kernel, size)[:, :tall, :wide]
    spread = _box_sums(padded**2, t) - _box_sums(padded, t) ** 2 / t**2
    # As in `same_pixels`: a flat window matches nothing.
    length = np.sqrt(np.where(spread > t**2, spread, np.inf))
    return np.asarray((products / length).max((1, 2)) / max(float(np.linalg.norm(zero_mean)), 1e-6))


def _box_sums(maps: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    """The sum of each t×t window of the maps (N, H, W)."""
    sums = np.pad(maps, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    return np.asarray(sums[:, t:, t:] - sums[:, :-t, t:] - sums[:, t:, :-t] + sums[:, :-t, :-t])


def at_sizes(pattern: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The pattern (t, t) at those of the seven sizes that are not too small to search for."""
    sides = sorted({side for size in SIZES if (side := round(size * pattern.shape[0])) >= SMALLEST})
    image = Image.fromarray(pattern.astype(np.float32))
    return [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32) for side in sides]


def has_pattern(
    pattern: NDArray[np.float32], images: NDArray[np.uint8], settings: AuditSettings
) -> NDArray[np.bool_]:
    """Whether each image (N, H, W, 3) has the pattern somewhere, at a size of `at_sizes`: (N,)."""
    found = np.zeros(len(images), bool)
    number = max(1, PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), number):
        some = images[start : start + number]
        maps = high_passed(some, sigma_of(images.shape[2]))
        for one in at_sizes(pattern):
            found[start : start + number] |= highest_ncc(one, maps) >= settings.match
    return found


def repeated_pattern(
    plan: Plan, photographs: Photographs, settings: AuditSettings
) -> NDArray[np.float32] | None:
    """The pixels (t, t) that repeat at the places of a plan, high-passed: those of its candidate, or what most of the
    images used share there. None where nothing repeats."""
    if plan.candidate.pattern is not None:
        return plan.candidate.pattern
    used = np.array(plan.used, np.intp)
    if not len(used):
        return None
    shown = photographs(used)
    width = shown.shape[2]
    margin = margin_of(width)
    crops = windows(high_passed(shown, sigma_of(width)), [r.place for r in plan.removals], margin)
    found = repeating(crops, np.arange(len(used)), crops[:0], margin, settings.match, step_of(width))
    return None if found is None else found.pixels


def search(
    pattern: NDArray[np.float32],
    training: Iterable[NDArray[np.uint8]],
    listed: int,
    audited: NDArray[np.uint8],
    settings: AuditSettings,
) -> InTraining:
    """Look for a pattern in training images of its class and in audited images that have it.

    training: (n, H, W, 3) at a time, of `listed` images of the class. audited: (m, H, W, 3). Both as the network sees
    them. A pattern that is too small is not looked for.
    """
    if pattern.shape[0] < SMALLEST:
        return replace(in_training(0, 0, listed, 0, len(audited), settings.level), too_small=True)
    found = images = 0
    for some in training:
        found += int(has_pattern(pattern, some, settings).sum())
        images += len(some)
    seen = int(has_pattern(pattern, audited, settings).sum())
    return in_training(found, images, listed, seen, len(audited), settings.level)
