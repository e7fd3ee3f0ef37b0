"""Verdicts: did more masks move than the floor expects?

With k of n masks of a class moved, p₀ the share that the floor expects, p₁ ≥ p₀ the share that another training run of
the recipe has at most (at level α / the number of classes; p₁ = p₀ where the floor's runs vary no more than images do):

    fail        the exact one-sided test of share ≤ p₁ is rejected (Benjamini–Hochberg over the classes at level α)
                and the lower bound of the share reaches p₁ + `max_moved`
    pass        the upper 1 − α bound lies below p₀ + `max_moved`, of at least `min_images` images
    undecided   otherwise, with the number of images that would decide it if the share does not change

Where labels decide which class is explained, both jobs have a mask of the label for images that the models predict
differently too. Those masks are judged a second time, pairs included (`mask_verdicts`): a class whose predictions
flipped has few pairs, however far its masks moved. Two runs differ more on an image that one of them predicts wrongly,
so that more flips alone are more masks beyond the threshold. p₀ is therefore that of a class with the same share f of
flipped images, (1 − f)·p₀(pairs) + f·p₀(flipped): flips are counted apart, and no number of them makes a moved mask.
p₀(flipped) is no less than an upper 95 % bound, because the floor may have few flipped images of the class.
(A sum over images with two probabilities has a lighter tail than the binomial of their mean; Hoeffding 1956.) Each of
the two tests then has the level α/2, so that a class without a change fails in at most α of comparisons.

If r of m classes are rejected, their lower bounds have the level 1 − α·r/m (Benjamini and Yekutieli 2005), which
corrects for the selection of the worst classes. The pooled verdict is the same for all images as one class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from gfi.drift.binomial import benjamini_hochberg, images_to_decide, lower_bound, p_value, upper_bound
from gfi.drift.floors import Floor

MAX_MOVED = 0.10
ALPHA = 0.05
MIN_IMAGES = 50
MAX_FLIPPED = 0.25


class Verdict(StrEnum):
    """The outcome of a check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNDECIDED = "undecided"


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if any fails, else undecided if any is, else pass."""
    return next((v for v in (Verdict.FAIL, Verdict.UNDECIDED) if v in verdicts), Verdict.PASS)


@dataclass(frozen=True)
class Tolerance:
    """The tolerance of a verdict.

    max_moved: the share beyond p0 that may move. alpha: the error of a fail, alpha_pass: of a pass. min_images: the
    fewest masks of a class that may pass; fewer can fail or be undecided.
    """

    max_moved: float = MAX_MOVED
    alpha: float = ALPHA
    min_images: int = MIN_IMAGES
    alpha_pass: float = ALPHA


@dataclass(frozen=True)
class Moved:
    """The number of moved masks of a class, and the verdict. Of all classes: the images, and the sum of the shares of
    their masks that moved.

    share = moved / n; lower, upper: its one-sided bounds; limit = p0 + max_moved; fails_at: the share that the lower
    bound of a fail reaches, at_most + max_moved with the share that another training run has at most. decides: the
    number of images that would decide; None if it is decided or if no number would. reason: why it is undecided.
    """

    verdict: Verdict
    n: int
    moved: float
    p0: float
    limit: float
    fails_at: float
    lower: float
    upper: float
    p: float
    decides: int | None = None
    reason: str | None = None

    @property
    def share(self) -> float:
        """moved / n; 0 without masks."""
        return self.moved / self.n if self.n else 0.0

    def to_json(self) -> dict[str, Any]:
        """All fields and the share."""
        return {**asdict(self), "verdict": self.verdict.value, "share": self.share}


@dataclass(frozen=True)
class MaskVerdicts:
    """The verdicts of masks by class. with_flips: of the classes that have flipped images which both jobs explained for
    the same class, these images included."""

    classes: dict[int, Moved]
    with_flips: dict[int, Moved]

    @property
    def failed_with_flips(self) -> list[int]:
        """The classes that fail only with flipped images. A pass of the pairs stays a pass, so nothing else of
        `with_flips` says more than they do."""

        def fails(verdicts: Mapping[int, Moved], index: int) -> bool:
            return index in verdicts and verdicts[index].verdict is Verdict.FAIL

        return [i for i in self.with_flips if fails(self.with_flips, i) and not fails(self.classes, i)]


def mask_verdicts(
    counts: Mapping[int, tuple[int, int]],
    counts_with_flips: Mapping[int, tuple[int, int]],
    floor: Floor,
    tolerance: Tolerance,
) -> MaskVerdicts:
    """Both verdicts of each class. counts: class → (moved, n) of pairs; counts_with_flips: the same of the classes that
    have flipped images, with these, beyond the thresholds of `floor.with_flips`."""
    if not counts_with_flips:
        return MaskVerdicts(class_verdicts(counts, floor, tolerance), {})
    half = replace(tolerance, alpha=tolerance.alpha / 2)
    of_flips = floor.with_flips or floor
    known = {*floor.class_p0, *of_flips.class_p0, *floor.flipped_p0}
    expected = {
        index: floor.class_p0_with_flips(index, 1 - counts.get(index, (0, 0))[1] / n)
        for index, (_, n) in counts_with_flips.items()
        if n and index in known
    }
    with_flips = class_verdicts(counts_with_flips, replace(of_flips, class_p0=expected), half)
    return MaskVerdicts(class_verdicts(counts, floor, half), with_flips)


def class_verdicts(
    counts: Mapping[int, tuple[int, int]], floor: Floor, tolerance: Tolerance
) -> dict[int, Moved]:
    """The verdict of each class. counts: class → (moved, n)."""
    classes = [index for index, (_, n) in counts.items() if n and index in floor.class_p0]
    k, n = (np.array([counts[index][at] for index in classes], np.float64) for at in (0, 1))
    each = tolerance.alpha / max(len(classes), 1)
    at_most = np.array([floor.class_at_most(index, each) for index in classes], np.float64)
    p = p_value(k, n, at_most)
    rejected = benjamini_hochberg(p, tolerance.alpha)
    level = tolerance.alpha * max(int(rejected.sum()), 1) / max(len(classes), 1)
    lower, upper = lower_bound(k, n, level), upper_bound(k, n, tolerance.alpha_pass)
    made = {
        index: _decide(
            counts[index],
            (floor.class_p0[index], float(at_most[at])),
            float(p[at]),
            bool(rejected[at]),
            (float(lower[at]), float(upper[at])),
            level,
            floor.saturated_in(index),
            tolerance,
        )
        for at, index in enumerate(classes)
    }
    return {index: made.get(index) or _unknown(counts[index], floor, tolerance) for index in counts}


def flipped_classes(
    counts: Mapping[int, tuple[int, int]], floor: Floor, max_flipped: float, alpha: float
) -> dict[int, tuple[float, float]]:
    """The classes of which the second model predicts many images otherwise, more than the floor's runs do among
    themselves: class → (share that the floor expects, lower bound). counts: class → (flips, images).

    Such a class has few pairs left or none, so that its masks cannot fail; that it lost its predictions is a finding of
    its own. The test is that of a fail: Benjamini–Hochberg over the classes, and the lower bound reaches the floor's
    share + max_flipped.
    """
    classes = [index for index, (_, n) in counts.items() if n and index in floor.class_flips]
    k, n = (np.array([counts[index][at] for index in classes], np.float64) for at in (0, 1))
    expected = np.array([floor.class_flips[index] for index in classes], np.float64)
    rejected = benjamini_hochberg(p_value(k, n, expected), alpha)
    lower = lower_bound(k, n, alpha * max(int(rejected.sum()), 1) / max(len(classes), 1))
    failed = rejected & (lower >= expected + max_flipped)
    return {index: (float(expected[at]), float(lower[at])) for at, index in enumerate(classes) if failed[at]}


def pooled_verdict(moved: float, n: int, floor: Floor, tolerance: Tolerance) -> Moved:
    """The verdict over all classes. moved: the sum over n images of the share of their masks that moved.

    The masks of an image move together, so an image is one observation in [0, 1]. The exact bounds of a share hold for
    the mean of such numbers too: between 0 and 1 they vary less than zeros and ones of the same mean.
    """
    if not n:
        return _unknown((0, 0), floor, tolerance)
    at_most = floor.at_most(tolerance.alpha)
    p = float(p_value(moved, n, at_most))
    bounds = float(lower_bound(moved, n, tolerance.alpha)), float(upper_bound(moved, n, tolerance.alpha_pass))
    expected = floor.p0, at_most
    return _decide(
        (moved, n), expected, p, p <= tolerance.alpha, bounds, tolerance.alpha, floor.saturated, tolerance
    )


def _decide(
    count: tuple[float, int],
    expected: tuple[float, float],
    p: float,
    rejected: bool,
    bounds: tuple[float, float],
    level: float,
    saturated: bool,
    tolerance: Tolerance,
) -> Moved:
    moved, n = count
    p0, at_most = expected
    limit, fails_at = p0 + tolerance.max_moved, at_most + tolerance.max_moved
    lower, upper = bounds

    def answer(verdict: Verdict, decides: int | None = None, reason: str | None = None) -> Moved:
        return Moved(verdict, n, moved, p0, limit, fails_at, lower, upper, p, decides, reason)

    if saturated:
        return answer(
            Verdict.UNDECIDED,
            reason="the floor's runs differ from each other as much as two masks can, so that no move can be seen",
        )
    if limit >= 1:
        return answer(
            Verdict.UNDECIDED,
            reason=f"{p0:.0%} of these masks move in the floor itself, so that no share can exceed the limit",
        )
    if rejected and lower >= fails_at:
        return answer(Verdict.FAIL)
    if upper < limit and n >= tolerance.min_images:
        return answer(Verdict.PASS)
    share = moved / n
    if limit <= share < fails_at:
        return answer(
            Verdict.UNDECIDED,
            reason=f"another training run may move up to {at_most:.0%} of them, as much as the floor's runs differ;"
            " more runs in the floor may decide it",
        )
    if share < limit:
        needed = images_to_decide(share, limit, tolerance.alpha_pass, tolerance.min_images)
    else:
        needed = images_to_decide(share, fails_at, level, tolerance.min_images)
    if needed is None:
        reason = f"the share equals the limit of {limit:.1%}; no number of images decides that"
        return answer(Verdict.UNDECIDED, reason=reason)
    return answer(Verdict.UNDECIDED, max(needed, n + 1), "too few images")


def _unknown(count: tuple[float, int], floor: Floor, tolerance: Tolerance) -> Moved:
    moved, n = count
    reason = "the floor has no mask of this class" if n else "no pair of masks"
    limit = floor.p0 + tolerance.max_moved
    return Moved(Verdict.UNDECIDED, n, moved, floor.p0, limit, limit, 0.0, 1.0, 1.0, None, reason)
