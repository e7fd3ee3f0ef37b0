"""The plan of a confirmation: which image, which place, which control places, which hosts and crops. Loads no network.

Only images of the confirmation half are used. An image of the candidate's class is used when its mask peaks at the
place, or when the pattern is found in it. Within a candidate each image is removed from once, each crop is pasted once
and each host is pasted into once, so ranks of different images are independent. Candidates of one class share images;
of images with several labels also those of different classes. An image that has the candidate's class among its labels
is never a host or a control crop of it, and a control crop does not have the class of the host.

Controls: for a removal, places of equal area in the same image whose mask mass is nearest to that of the candidate's
place; for a transplant, crops of the same place from images of third classes, again of the nearest mask mass. The
controls of different hosts are different crops where there are enough third images; `reused` counts the others.

Of two marks that stand in the same images, either is enough for the network: removing one changes little while the
other is there. So where another repeated pattern of the class is found in an image, each place of it is also removed
together with that pattern (`Removal.beside`), and the larger effect counts, for the candidate and for its controls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.explained import Explained, Photographs
from gfi.audit.pattern_search import around_patterns, found_pattern, pattern_centres, peaks_at, top_peaks
from gfi.audit.places import Place, around, lattice, mass
from gfi.audit.settings import AuditSettings

STATED = -1
"""The source of a transplant whose crop is the patch of a stated hypothesis."""


@dataclass(frozen=True)
class Removal:
    """Fill `place` in an image, and each control place in turn.

    beside: where another repeated pattern of the class is in this image; None where there is none.
    """

    image: int
    place: Place
    controls: tuple[Place, ...]
    beside: Place | None = None


@dataclass(frozen=True)
class Transplant:
    """Paste the crop of `source` at `place` into `host`, and that of each control image in turn."""

    host: int
    source: int
    place: Place
    controls: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What confirmation does for a candidate.

    seen of images: the class's images of the confirmation half in which the place or pattern is seen. outside: whether
    the place lies outside every box in the images used; None without boxes. foreign: images of other classes whose
    mask peaks there, for S4; places: where in each image. labelled: of the images removed from, those with a label;
    labelled_otherwise: those of another class's label. boxed, beside_boxes: of the images with boxes in which the
    pattern is seen, and of these, where its pixels lie beside every box.
    """

    candidate: Candidate
    removals: tuple[Removal, ...] = ()
    transplants: tuple[Transplant, ...] = ()
    seen: int = 0
    images: int = 0
    outside: bool | None = None
    foreign: tuple[int, ...] = ()
    foreign_places: tuple[Place, ...] = field(default=(), repr=False)
    reused: int = 0
    labelled: int = 0
    labelled_otherwise: int = 0
    boxed: int = 0
    beside_boxes: int = 0

    @property
    def pattern_outside(self) -> bool:
        """Whether a repeated pattern lies beside every box in at least half of its images."""
        return 2 * self.beside_boxes >= self.boxed > 0

    @property
    def used(self) -> tuple[int, ...]:
        """The rows of the images that the candidate is removed from."""
        return tuple(r.image for r in self.removals)

    @property
    def misleads(self) -> bool:
        """Whether most of the images it is removed from are labelled otherwise."""
        return 2 * self.labelled_otherwise > self.labelled > 0

    @property
    def rows(self) -> NDArray[np.intp]:
        """Every row whose photograph is needed, once."""
        rows = set(self.used) | set(self.foreign)
        for t in self.transplants:
            rows |= {t.host, t.source, *t.controls}
        return np.array(sorted(rows - {STATED}), np.intp)


def plan(
    candidate: Candidate,
    data: Explained,
    photographs: Photographs | None,
    settings: AuditSettings,
    among: Sequence[Candidate] = (),
) -> Plan:
    """The plan of one candidate. `photographs` is needed for a pattern. among: all candidates of the audit."""
    k = candidate.class_index
    draw = np.random.default_rng([settings.seed, k, round(1000 * candidate.score) & 0xFFFF])
    confirming = ~data.screening
    own = np.flatnonzero(confirming & (data.classes == k))
    others = np.flatnonzero(confirming & ~data.carrying(k))
    if candidate.patch is not None and photographs is not None:
        return _stated(candidate, candidate.patch, data, own, others, photographs, settings, draw)
    where: dict[int, Place] = {}
    itself: dict[int, Place] = {}
    if candidate.pattern is not None and photographs is not None:
        centres = pattern_centres(data, own, candidate.pattern, photographs, settings)
        where = around_patterns(centres, candidate.pattern, photographs, own)
        itself = around_patterns(centres, candidate.pattern, photographs, own, times=1.0)
    if candidate.place is not None and len(where) < settings.fewest_used:
        at = peaks_at(data.grids[own], candidate.place, settings.peak_share_of_maximum)
        where, itself = {int(i): candidate.place for i in own[at]}, {}
    seen = len(where)
    outside, where = _outside(data, where)
    used = draw.permutation(np.array(sorted(where), np.intp))[: settings.most_images]
    beside = _beside(candidate, among, data, where, used, photographs, settings)
    removals = tuple(_removal(data, int(i), where[int(i)], beside.get(int(i)), settings, draw) for i in used)
    transplants, reused = _transplants(data, used, where, others, settings, draw)
    foreign, places = _foreign(data, where, candidate, others, settings, draw)
    labels = np.zeros(0, np.int64) if data.labels is None else data.labels[used]
    return Plan(
        candidate,
        removals,
        transplants,
        seen,
        len(own),
        outside,
        foreign,
        places,
        reused,
        int((labels >= 0).sum()),
        int(((labels >= 0) & (labels != k)).sum()),
        *beside_boxes(data, itself),
    )


def _beside(
    candidate: Candidate,
    among: Sequence[Candidate],
    data: Explained,
    where: Mapping[int, Place],
    used: NDArray[np.intp],
    photographs: Photographs | None,
    settings: AuditSettings,
) -> dict[int, Place]:
    """Where another repeated pattern of the class is in the images used; the first one of the ranking counts."""
    found: dict[int, Place] = {}
    if photographs is None or not len(used):
        return found
    for other in among:
        if other is candidate or other.class_index != candidate.class_index or other.pattern is None:
            continue
        there = found_pattern(data, np.sort(used), other.pattern, photographs, settings)
        for image, place in there.items():
            if place.overlap(where[image]) < 1e-9:
                found.setdefault(image, place)
    return found


def _stated(
    candidate: Candidate,
    patch: NDArray[np.uint8],
    data: Explained,
    own: NDArray[np.intp],
    others: NDArray[np.intp],
    photographs: Photographs,
    settings: AuditSettings,
    draw: np.random.Generator,
) -> Plan:
    """The plan of a stated hypothesis: its patch is pasted into images of other classes, each at a place drawn for it,
    and its controls are crops of that place from images of third classes. Nothing is removed."""
    hosts = _spread(data.classes, data.once(draw.permutation(others)))[: settings.most_images]
    if not len(hosts):
        return Plan(candidate, images=len(own))
    height, width = photographs(hosts[:1]).shape[1:3]
    shrink = min(1.0, 0.5 * height / patch.shape[0], 0.5 * width / patch.shape[1])
    tall, wide = shrink * patch.shape[0] / height, shrink * patch.shape[1] / width
    rest = data.of_other_images(others, hosts)
    pool = rest if len(rest) >= settings.controls else others
    made = []
    for host in hosts:
        top, left = draw.uniform(0, 1 - tall), draw.uniform(0, 1 - wide)
        controls = data.once(draw.permutation(_without(data, pool, host)))[: settings.controls]
        if len(controls) < settings.controls:
            continue
        place = Place(float(left), float(top), float(left + wide), float(top + tall))
        made.append(Transplant(int(host), STATED, place, tuple(int(i) for i in controls)))
    return Plan(candidate, transplants=tuple(made), images=len(own))


def _outside(data: Explained, where: dict[int, Place]) -> tuple[bool | None, dict[int, Place]]:
    """Whether the place lies outside every box; then only such images are used.

    An object that happens to reach the place says nothing about it: images where it does are left out, as long as the
    place lies outside in at least half of them.
    """
    if data.boxes is None or not where:
        return None, where
    boxed = {i: p for i, p in where.items() if i in data.boxes}
    free = {i: p for i, p in boxed.items() if not p.touches(data.boxes[i])}
    if not boxed:
        return None, where
    return (True, free) if 2 * len(free) >= len(boxed) and free else (False, where)


def beside_boxes(data: Explained, patterns: Mapping[int, Place]) -> tuple[int, int]:
    """Of the images with boxes and the pattern's own pixels, without the margin that is removed with them: how many
    there are, and in how many the pixels lie beside every box.

    That is where boxes cover at most a quarter of them, and they hold at most a quarter of any box: else a small object
    that lies within them would be beside itself.
    """
    boxed = {i: place for i, place in patterns.items() if data.boxes is not None and i in data.boxes}
    beside = 0
    for image, place in boxed.items():
        shared, areas = place.shared(data.boxes[image])  # type: ignore[index]  # boxed is empty without boxes
        beside += bool(shared.sum() <= place.area / 4 and (shared <= areas / 4).all())
    return len(boxed), beside


def _removal(
    data: Explained,
    image: int,
    place: Place,
    beside: Place | None,
    settings: AuditSettings,
    draw: np.random.Generator,
) -> Removal:
    places = lattice(place)
    if beside is not None:  # a control that shares pixels with the other pattern would not be like the place
        apart = [p for p in lattice(place, 0.25) if p.overlap(beside) < 1e-9]
        places, beside = (apart, beside) if len(apart) >= settings.controls else (places, None)
    order = draw.permutation(len(places))
    places = [places[i] for i in order]
    masses = mass(data.grids[image], [place, *places])
    nearest = np.argsort(np.abs(masses[1:] - masses[0]), kind="stable")[: settings.controls]
    return Removal(image, place, tuple(places[i] for i in sorted(nearest)), beside)


def _transplants(
    data: Explained,
    used: NDArray[np.intp],
    where: dict[int, Place],
    others: NDArray[np.intp],
    settings: AuditSettings,
    draw: np.random.Generator,
) -> tuple[tuple[Transplant, ...], int]:
    hosts = _spread(data.classes, data.once(draw.permutation(others)))[: len(used)]
    # Hosts are not control crops as long as enough other images remain.
    rest = data.of_other_images(others, hosts)
    pool = rest if len(rest) >= settings.controls else others
    free, everyone = np.ones(len(data), bool), np.arange(len(data))
    images = data.image_of(everyone)
    made, reused = [], 0
    for source, host in zip(used, hosts, strict=False):
        place = where[int(source)]
        third = _without(data, pool, host)
        masses = np.array([mass(data.grids[i], [place])[0] for i in (int(source), *third.tolist())])
        gap = np.abs(masses[1:] - masses[0])
        chosen = data.once(third[np.lexsort((gap, ~free[third]))])[: settings.controls]
        if len(chosen) < settings.controls:
            continue
        reused += int((~free[chosen]).sum())
        free[everyone[np.isin(images, data.image_of(chosen))]] = False
        made.append(Transplant(int(host), int(source), place, tuple(int(i) for i in chosen)))
    return tuple(made), reused


def _without(data: Explained, rows: NDArray[np.intp], host: np.intp) -> NDArray[np.intp]:
    """Those of `rows` whose image does not have the class of the host."""
    return rows[~data.carrying(int(data.classes[host]))[rows]]


def _spread(classes: NDArray[np.int64], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows in an order that takes one of each class in turn."""
    turn = np.zeros(len(rows), np.int64)
    met: dict[int, int] = {}
    for at, row in enumerate(rows):
        k = int(classes[row])
        turn[at] = met.get(k, 0)
        met[k] = int(turn[at]) + 1
    return rows[np.argsort(turn, kind="stable")]


def _foreign(
    data: Explained,
    where: dict[int, Place],
    candidate: Candidate,
    others: NDArray[np.intp],
    settings: AuditSettings,
    draw: np.random.Generator,
) -> tuple[tuple[int, ...], tuple[Place, ...]]:
    """Images of other classes for S4: at the same place, or at their highest peak for a pattern."""
    rows = _spread(data.classes, data.once(draw.permutation(others)))[: 2 * settings.most_images]
    if candidate.pattern is None and candidate.place is not None:
        return tuple(int(i) for i in rows), (candidate.place,) * len(rows)
    places, kept = [], []
    side = next((place.right - place.left for place in where.values()), 0.2)
    for row in rows:
        for x, y in top_peaks(data.grids[row], 14, 1, settings.peak_share_of_maximum):
            kept.append(int(row))
            places.append(around(x, y, side))
    return tuple(kept), tuple(places)
