"""What the screens propose: a class and a place (or a pattern whose place differs from image to image)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gfi.audit.class_null import upper_tail
from gfi.audit.cluster_columns import Association
from gfi.audit.false_discovery import q_values
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.places import Place, of_cell
from gfi.audit.settings import AuditSettings

Screen = Literal["S1", "S2", "S3", "S4", "stated"]


@dataclass(frozen=True)
class Candidate:
    """A class and where its masks, or the same pixels, stand out in the screening half.

    screen_p and screen_q rank candidates; they are a family of their own and confirm nothing.
    """

    class_index: int
    screen: Screen
    place: Place | None
    """None: the place differs from image to image. Where there is a pattern, it says where it is in each image."""
    score: float
    """What candidates are ranked by: z of the screen."""
    share: float
    """Of the class's images in the screening half."""
    screen_p: float = 1.0
    screen_q: float = 1.0
    pattern: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(t, t) high-passed pixels that repeat, for `same_pixels.find`."""
    goes_with: tuple[Association, ...] = field(default=(), compare=False, repr=False)
    """Of S3: the columns that its cluster goes with, the smallest p first."""
    patch: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    """(t, u, 4) RGBA: the mark of a stated hypothesis, which is pasted into images of other classes."""


def fixed_places(counts: PeakCounts, settings: AuditSettings) -> list[Candidate] | None:
    """The candidates of S1 at one scale: cells above the threshold that are highest among their neighbours.

    None where the class null is undecided (too few classes with enough images).
    """
    z = counts.z(settings.fewest_classes, settings.fewest_images)
    if z is None:
        return None
    shares, p = counts.shares(), upper_tail(z)
    q = q_values(p.ravel()).reshape(p.shape)
    found = []
    for k in np.flatnonzero(counts.images >= settings.fewest_images):
        taken = np.zeros(z.shape[1:], bool)
        for flat in np.argsort(-z[k], axis=None, kind="stable"):
            i, j = np.unravel_index(flat, taken.shape)
            if z[k, i, j] < settings.z_threshold:
                break
            if shares[k, i, j] < settings.share_threshold or taken[i, j]:
                continue
            taken[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = True
            found.append(
                Candidate(
                    int(k),
                    "S1",
                    of_cell(int(i), int(j), counts.cells),
                    float(z[k, i, j]),
                    float(shares[k, i, j]),
                    float(p[k, i, j]),
                    float(q[k, i, j]),
                )
            )
    return found


MOST_TOLD = 5
"""Columns that are told of one cluster."""


def with_columns(found: Sequence[Candidate], level: float) -> list[Candidate]:
    """The candidates, with what their clusters go with: q is over all comparisons of all clusters, and at most
    `level`."""
    compared = [(n, one) for n, candidate in enumerate(found) for one in candidate.goes_with]
    q = q_values(np.array([one.p for _, one in compared])) if compared else np.zeros(0)
    told: dict[int, list[Association]] = {}
    for (n, one), value in zip(compared, q.tolist(), strict=True):
        if value <= level:
            told.setdefault(n, []).append(one._replace(q=value))
    return [
        replace(c, goes_with=tuple(sorted(told.get(n, ()), key=lambda one: one.p)[:MOST_TOLD]))
        for n, c in enumerate(found)
    ]


def shortlist(proposed: Sequence[Candidate], settings: AuditSettings) -> list[Candidate]:
    """The candidates that are tested: one for each class and place, the highest scores, at most fifty.

    A stated hypothesis comes first. Of two places of a class that share most of their area the higher score stays; a
    pattern found at a place that is already a candidate goes to that candidate with its place, which is more exact.
    """
    of_class: dict[int, list[Candidate]] = {}
    for candidate in sorted(proposed, key=_first):
        kept = of_class.setdefault(candidate.class_index, [])
        at = next((i for i, other in enumerate(kept) if alike(candidate, other)), None)
        if at is not None:
            if candidate.goes_with and not kept[at].goes_with:
                kept[at] = replace(kept[at], goes_with=candidate.goes_with)
            if kept[at].pattern is None and candidate.pattern is not None:
                kept[at] = replace(kept[at], pattern=candidate.pattern, place=candidate.place)
        elif len(kept) < settings.candidates_per_class:
            kept.append(candidate)
    # A place that a pattern made more exact may now be that of another candidate.
    apart = [
        c for kept in of_class.values() for i, c in enumerate(kept) if not any(alike(c, e) for e in kept[:i])
    ]
    return sorted(apart, key=_first)[: settings.most_candidates]


def _first(candidate: Candidate) -> tuple[bool, float, int]:
    return candidate.screen != "stated", -candidate.score, candidate.class_index


def alike(a: Candidate, b: Candidate) -> bool:
    """Whether two candidates are one: of a class, and at places that share most of their area, or at none."""
    if a.class_index != b.class_index:
        return False
    if a.place is None or b.place is None:
        return a.place is b.place
    return a.place.overlap(b.place) >= 0.4
