"""One audit, from masks to verdicts: screen, propose, plan, confirm, judge.

`screen` reads masks once and proposes; it needs no network and runs on a control worker. `propose_repeats` adds what S4
finds in photographs, for the shortlisted classes. `test` plans, asks the network, and judges. `audit` does all of it
on arrays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate, fixed_places, shortlist, with_columns
from gfi.audit.class_null import upper_tail
from gfi.audit.cluster_columns import associations
from gfi.audit.clusters import clusters
from gfi.audit.confirmation import Predict, Thresholds, confirm
from gfi.audit.explained import Explained, Photographs
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.off_object import OffObject
from gfi.audit.pattern_search import found_pattern, margin_of, peak_windows, step_of, view_width
from gfi.audit.places import Place, around, of_cell
from gfi.audit.plan import plan
from gfi.audit.same_pixels import holds_pattern, repeating
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import Tested, judge, too_few


@dataclass(frozen=True)
class Screened:
    """What the screens say of the screening half. class_null: False where it is undecided."""

    candidates: tuple[Candidate, ...]
    counts: tuple[PeakCounts, ...]
    class_null: bool


PATTERNS_PER_CLASS = 3


class Screens:
    """S1 and S2 over a stream of chunks. `add` takes images of both halves; only the screening half is counted."""

    def __init__(self, classes: int, settings: AuditSettings) -> None:
        self.settings = settings
        self.counts = tuple(PeakCounts(classes, s, settings.peak_share_of_maximum) for s in settings.scales)
        self.boxes = OffObject(classes)

    def add(
        self,
        grids: NDArray[np.floating],
        classes: NDArray[np.integer],
        screening: NDArray[np.bool_],
        boxes: tuple[NDArray[np.floating], NDArray[np.integer]] | None = None,
    ) -> None:
        """Count a chunk: grids (N, h, w), classes (N,), screening (N,); boxes: (M, 4) and their image in the chunk."""
        for counts in self.counts:
            counts.add(grids[screening], classes[screening])
        if boxes is not None and len(boxes[0]):
            new = np.cumsum(screening) - 1
            mine = screening[boxes[1]]
            self.boxes.add(grids[screening], classes[screening], boxes[0][mine], new[boxes[1][mine]])

    def proposed(self) -> list[Candidate] | None:
        """The candidates of S1 and S2; None where the class null is undecided."""
        found: list[Candidate] = []
        for counts in self.counts:
            places = fixed_places(counts, self.settings)
            if places is None:
                return None
            found += places
        return found + self._off_object()

    def _off_object(self) -> list[Candidate]:
        s = self.settings
        z = self.boxes.z(s.fewest_classes, s.fewest_images)
        if z is None:
            return []
        outside = self.boxes.outside()
        gap = outside - np.median(outside[self.boxes.images >= s.fewest_images], axis=0)
        out = []
        for k in np.flatnonzero(z >= s.z_threshold):
            row, column = np.unravel_index(int(gap[k].argmax()), gap[k].shape)
            place = of_cell(int(row), int(column), self.boxes.cells)
            p = float(upper_tail(np.array([z[k]]))[0])
            out.append(Candidate(int(k), "S2", place, float(z[k]), float(outside[k].sum()), p, p))
        return out


def propose_clusters(data: Explained, classes: Iterable[int], settings: AuditSettings) -> list[Candidate]:
    """S3 on the screening half of some classes."""
    out = []
    for k in classes:
        mine = data.screening & (data.classes == k)
        grids, rows = data.grids[mine], np.flatnonzero(mine)
        if len(grids) < settings.fewest_images:
            continue
        features = None if data.features is None else data.features[mine].astype(np.float64)
        if features is not None and (known := np.isfinite(features).all(1)).sum() >= settings.fewest_images:
            grids, features, rows = grids[known], features[known], rows[known]
        else:
            features = None
        found = clusters(grids, features, np.random.default_rng([settings.seed, 3, k]), copies=39)
        if found is not None and found.p <= settings.level:
            share = float(found.smaller.mean())
            place = of_cell(*found.cell, 7)
            compared = tuple(associations(found.smaller, _of_rows(data.columns, rows)))
            out.append(Candidate(k, "S3", place, 2.0, share, found.p, found.p, goes_with=compared))
    return out


def _of_rows(
    columns: Mapping[str, NDArray[np.floating] | Sequence[str]] | None, rows: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(column)[rows] for name, column in (columns or {}).items()}


def propose_repeats(
    data: Explained, classes: Iterable[int], photographs: Photographs, settings: AuditSettings, most: int = 60
) -> list[Candidate]:
    """S4 as a screen: patterns that repeat at the mask peaks of a class's screening half, and not in other classes."""
    out = []
    for k in classes:
        draw = np.random.default_rng([settings.seed, 4, k])
        own = draw.permutation(np.flatnonzero(data.screening & (data.classes == k)))[:most]
        others = data.once(draw.permutation(np.flatnonzero(data.screening & ~data.carrying(k))))[:most]
        if len(own) < settings.fewest_images:
            continue
        searched, image, _ = peak_windows(data, own, photographs, settings)
        foreign, _, _ = peak_windows(data, others, photographs, settings)
        width = view_width(photographs, own)
        for _ in range(PATTERNS_PER_CLASS):
            found = repeating(searched, image, foreign, margin_of(width), settings.match, step_of(width))
            if found is None:
                break
            share = found.images / found.of
            where = found_pattern(data, own, found.pixels, photographs, settings)
            place = fixed_place(list(where.values()))
            out.append(Candidate(k, "S4", place, 10 * share, share, pattern=found.pixels))
            # What is left may repeat as well: a second mark stands in the same images.
            left = ~holds_pattern(found.pixels, searched, settings.match, step_of(width))
            searched, image = searched[left], image[left]
    return out


def fixed_place(places: Sequence[Place], apart: float = 0.05) -> Place | None:
    """The median of places if four in five of them lie within `apart` of it; None: the pattern moves."""
    if not places:
        return None
    centres = np.array([p.centre for p in places])
    middle = np.median(centres, axis=0)
    near = (np.abs(centres - middle).max(1) <= apart).mean()
    side = places[0].right - places[0].left
    return around(float(middle[0]), float(middle[1]), side) if near >= 0.8 else None


def shortlisted(counts: PeakCounts, found: Sequence[Candidate], settings: AuditSettings) -> list[int]:
    """The classes that S3 and S4 look at: with enough images, those of the highest scores first, at most fifty."""
    best: dict[int, float] = {}
    for candidate in found:
        best[candidate.class_index] = max(best.get(candidate.class_index, 0.0), candidate.score)
    enough = np.flatnonzero(counts.images >= settings.fewest_images).tolist()
    return sorted(enough, key=lambda k: -best.get(k, 0.0))[: settings.most_candidates]


def screen(
    data: Explained, classes: int, photographs: Photographs | None, settings: AuditSettings
) -> Screened:
    """All screens on arrays; S4 needs photographs."""
    screens = Screens(classes, settings)
    for start in range(0, len(data), 4096):
        part = slice(start, start + 4096)
        boxes = None
        if data.boxes is not None:
            inside = [(i - start, b) for i, b in data.boxes.items() if start <= i < start + 4096]
            owners = np.concatenate([np.full(len(b), i) for i, b in inside] or [np.zeros(0)]).astype(np.intp)
            boxes = (np.concatenate([b for _, b in inside] or [np.zeros((0, 4))]), owners)
        screens.add(data.grids[part], data.classes[part], data.screening[part], boxes)
    proposed = screens.proposed()
    found = list(proposed or [])
    classes_shown = shortlisted(screens.counts[0], found, settings)
    found += propose_clusters(data, classes_shown, settings)
    if photographs is not None:
        found += propose_repeats(data, classes_shown, photographs, settings)
    found = with_columns(found, settings.level)
    return Screened(tuple(shortlist(found, settings)), screens.counts, proposed is not None)


def test(
    candidates: Sequence[Candidate],
    data: Explained,
    photographs: Photographs,
    predict: Predict,
    settings: AuditSettings,
    thresholds: Thresholds = None,  # noqa: PT028  # no test of pytest's
) -> list[Tested]:
    """Plan, confirm and judge candidates on the confirmation half."""
    plans = [plan(c, data, photographs, settings, candidates) for c in candidates]
    effects = [
        None if too_few(p, settings) else confirm(p, photographs, predict, settings, thresholds=thresholds)
        for p in plans
    ]
    return judge(plans, effects, settings)


test.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def audit(
    data: Explained,
    classes: int,
    photographs: Photographs,
    predict: Predict,
    settings: AuditSettings,
    thresholds: Thresholds = None,
) -> list[Tested]:
    """The whole audit on arrays: the candidates with their verdicts, shortcuts first."""
    found = screen(data, classes, photographs, settings)
    return test(found.candidates, data, photographs, predict, settings, thresholds)
