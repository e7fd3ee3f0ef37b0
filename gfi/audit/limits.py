"""Detection limits: the smallest share of a class's images in which a mark would have been confirmed.

Marks are injected through both stages, many times at each share:

    screening      the mask of an image with the mark peaks at a random cell; z, the number of candidates and the
                   thresholds are those of this audit
    confirmation   an image with the mark has an effect of Uniform(0, 2δ) beyond one of its controls, in removal and in
                   transplant; controls are those that were measured in this audit, an image's together; rank tests,
                   BH beside this audit's other candidates, and the bound of the effect follow

The limit is the smallest share from which on the lower bound of the probability of confirmation is ≥ .9, the bound at
level .05 / K: simultaneous over the K classes. It speaks of a mark that masks show and whose pixels repeat; a mark that
the masks do not show is found by no audit of masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit import rank_test
from gfi.audit.bounds import mean_lower_bound, share_lower_bound
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import Tested

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Measured:
    """What injection needs of an audit: its counts, the controls it measured, and how many candidates it tested.

    removal and transplant: (n, controls), without NaN.
    """

    counts: PeakCounts
    z: NDArray[np.float64]
    removal: NDArray[np.float64]
    transplant: NDArray[np.float64]
    number_tested: int
    number_standing: int


def measured(counts: PeakCounts, results: Sequence[Tested], settings: AuditSettings) -> Measured | None:
    """What was measured; None where the class null is undecided or nothing was tested."""
    z = counts.z(settings.fewest_classes, settings.fewest_images)
    effects = [r.effects for r in results if r.effects is not None]
    if z is None or not effects:
        return None
    effects = [e for e in effects if e.removal_controls.shape[1] == settings.controls]
    if not effects:
        return None
    full = [
        np.concatenate(
            [part[np.isfinite(part).all(1)] for part in parts if part.shape[1] == settings.controls]
        )
        for parts in ([e.removal_controls for e in effects], [e.transplant_controls for e in effects])
    ]
    standing = sum(r.q <= settings.level for r in results)
    return Measured(counts, z, full[0], full[1], len(effects), standing)


def confirmed(
    found: Measured,
    k: int,
    confirming: int,
    share: float,
    effect: float,
    draw: np.random.Generator,
    s: AuditSettings,
) -> bool:
    """Whether one injected mark in `share` of class k is confirmed; confirming: its images of the confirmation half."""
    cells = found.counts.cells
    images = int(found.counts.images[k])
    cell = (int(draw.integers(cells)), int(draw.integers(cells)))
    marked = int(draw.binomial(images, share))
    before = int(draw.binomial(int(found.counts.counts[k][cell]), 1 - share))
    x = (marked + before) / max(images, 1)
    if x < s.share_threshold or not _stands_out(found, k, cell, x, s):
        return False
    used = min(int(draw.binomial(confirming, share)), s.most_images)
    if used < s.fewest_used:
        return False
    p, lower = [], []
    for pool in (found.removal, found.transplant):
        controls = pool[draw.integers(0, len(pool), used)]
        own = controls[np.arange(used), draw.integers(0, controls.shape[1], used)]
        effects = np.minimum(own + draw.uniform(0, 2 * effect, used), 1)
        p.append(rank_test.p_value(effects, controls))
        lower.append(mean_lower_bound(effects - controls.mean(1), s.level))
    q = max(p) * (found.number_tested + 1) / (found.number_standing + 1)
    return q <= s.level and max(lower) >= s.least_effect


def _stands_out(found: Measured, k: int, cell: tuple[int, int], x: float, s: AuditSettings) -> bool:
    i, j = cell
    shares = found.counts.shares()[:, i, j]
    enough = found.counts.images >= s.fewest_images
    known = shares[enough]
    centre = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - centre)))
    n = max(int(found.counts.images[k]), 1)
    usual = (centre * n + 0.5) / (n + 1)
    z = (x - centre) / max(spread, float(np.sqrt(usual * (1 - usual) / n)))
    # It must also be among the class's first candidates; cells next to it do not compete.
    rivals = found.z[k].copy()
    rivals[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = -np.inf
    return z >= s.z_threshold and int((rivals > z).sum()) < s.candidates_per_class


def limit(
    found: Measured,
    k: int,
    confirming: int,
    settings: AuditSettings,
    effect: float = 0.3,
    injections: int = 150,
) -> float | None:
    """The detection limit of class k; None where no share is enough."""
    classes = int((found.counts.images >= settings.fewest_images).sum())
    best = None
    for share in reversed(SHARES):
        draw = np.random.default_rng([settings.seed, 5, k, round(100 * share)])
        hits = sum(confirmed(found, k, confirming, share, effect, draw, settings) for _ in range(injections))
        if share_lower_bound(hits, injections, settings.level / max(classes, 1)) < 0.9:
            break
        best = share
    return best
