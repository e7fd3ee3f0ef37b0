"""The plan of a confirmation: which image, which place, which control places, which hosts and crops. Loads no network.

Only images of the confirmation half are used. An image of the candidate's class is used when its mask peaks at the
place, or when the pattern is found in it. Within a candidate each image is removed from once, each crop is pasted once
and each host is pasted into once, so ranks of different images are independent. Candidates of one class share images.

Controls: for a removal, places of equal area in the same image whose mask mass is nearest to that of the candidate's
place; for a transplant, crops of the same place from images of third classes, again of the nearest mask mass. The
controls of different hosts are different crops where there are enough third images; `reused` counts the others.

Of two marks that stand in the same images, either is enough for the network: removing one changes little while the
other is there. So where another repeated pattern of the class is found in an image, each place of it is also removed
together with that pattern (`Removal.beside`), and the larger effect counts, for the candidate and for its controls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.grids import resized
from gfi.audit.local_peaks import peaks
from gfi.audit.places import Place, around, lattice, mass
from gfi.audit.same_pixels import high_passed, matches, windows
from gfi.audit.settings import AuditSettings

Photographs = Callable[[NDArray[np.intp]], NDArray[np.uint8]]
"""Rows → the network's view of each, (n, H, W, 3) uint8."""


STATED = -1
"""The source of a transplant whose crop is the patch of a stated hypothesis."""


@dataclass(frozen=True)
class Explained:
    """Images and their masks: what screens and plans read of the parts.

    classes (N,): the class each mask explains. grids (N, h, w): the masks. screening (N,): the half. boxes: row → the
    boxes (M, 4) of its class in [0, 1] of the network's view; None where the dataset has none. labels (N,): the class
    each image is labelled as, −1 where it has no label; None where no image has one. features (N, d): projected
    features, NaN where there are none; None where no image has them.
    """

    classes: NDArray[np.int64]
    grids: NDArray[np.float32]
    screening: NDArray[np.bool_]
    boxes: Mapping[int, NDArray[np.float64]] | None = None
    keys: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None
    features: NDArray[np.floating] | None = None
    columns: Mapping[str, NDArray[np.floating] | Sequence[str]] | None = None
    """Numbers or words of each image (N,), which clusters are compared with; None where they were not read."""

    def __len__(self) -> int:
        return len(self.classes)


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
    return _around_patterns(pattern_centres(data, rows, pattern, photographs, s), pattern, photographs, rows)


def _around_patterns(
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
    others = np.flatnonzero(confirming & (data.classes != k))
    if candidate.patch is not None and photographs is not None:
        return _stated(candidate, candidate.patch, data, own, others, photographs, settings, draw)
    where: dict[int, Place] = {}
    itself: dict[int, Place] = {}
    if candidate.pattern is not None and photographs is not None:
        centres = pattern_centres(data, own, candidate.pattern, photographs, settings)
        where = _around_patterns(centres, candidate.pattern, photographs, own)
        itself = _around_patterns(centres, candidate.pattern, photographs, own, times=1.0)
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
    hosts = _spread(data.classes, draw.permutation(others))[: settings.most_images]
    if not len(hosts):
        return Plan(candidate, images=len(own))
    height, width = photographs(hosts[:1]).shape[1:3]
    shrink = min(1.0, 0.5 * height / patch.shape[0], 0.5 * width / patch.shape[1])
    tall, wide = shrink * patch.shape[0] / height, shrink * patch.shape[1] / width
    rest = np.setdiff1d(others, hosts)
    pool = rest if len(rest) >= settings.controls else others
    made = []
    for host in hosts:
        top, left = draw.uniform(0, 1 - tall), draw.uniform(0, 1 - wide)
        third = pool[data.classes[pool] != data.classes[host]]
        if len(third) < settings.controls:
            continue
        controls = draw.permutation(third)[: settings.controls]
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
    hosts = _spread(data.classes, draw.permutation(others))[: len(used)]
    # Hosts are not control crops as long as enough other images remain.
    rest = np.setdiff1d(others, hosts)
    pool = rest if len(rest) >= settings.controls else others
    free = np.ones(len(data.classes), bool)
    made, reused = [], 0
    for source, host in zip(used, hosts, strict=False):
        place = where[int(source)]
        third = pool[data.classes[pool] != data.classes[host]]
        if len(third) < settings.controls:
            continue
        masses = np.array([mass(data.grids[i], [place])[0] for i in (int(source), *third.tolist())])
        gap = np.abs(masses[1:] - masses[0])
        order = np.lexsort((gap, ~free[third]))[: settings.controls]
        chosen = third[order]
        reused += int((~free[chosen]).sum())
        free[chosen] = False
        made.append(Transplant(int(host), int(source), place, tuple(int(i) for i in chosen)))
    return tuple(made), reused


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
    rows = _spread(data.classes, draw.permutation(others))[: 2 * settings.most_images]
    if candidate.pattern is None and candidate.place is not None:
        return tuple(int(i) for i in rows), (candidate.place,) * len(rows)
    places, kept = [], []
    side = next((place.right - place.left for place in where.values()), 0.2)
    for row in rows:
        for x, y in top_peaks(data.grids[row], 14, 1, settings.peak_share_of_maximum):
            kept.append(int(row))
            places.append(around(x, y, side))
    return tuple(kept), tuple(places)
