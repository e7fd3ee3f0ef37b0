"""Sums over results from which counts, means, variances, histograms and the class table of a job are read.

    sums.add(identity, numbers);  sums += other;  sums -= replaced

Every value is a whole number: a count, or a sum of numbers in units of 2⁻⁵⁰. Whole numbers add exactly and in any
order, so subtracting a result that is replaced leaves what there would be without it. A mean differs from that of the
stored numbers by at most 4.5e-16. Loads neither SQL nor numpy.
"""

import contextlib
import gc
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, itemgetter
from typing import Any

from gfi.domain.metrics import COLUMNS, NUMBERS, PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus

_UNIT = 2.0**-50
Key = tuple[str | int | None, ...]
Vectors = dict[Key, list[int]]

IDENTITY = ("method", "label", "target", "prediction", "status")
"""The columns of a result by which images are counted."""
_BIN_WIDTHS = {"iterations": 10.0}
_BIN_WIDTH = 0.02  # of everything else: a number in [0, 1], mostly
_LAST_BIN = 1000
_PLACES = {name: 1 + 4 * number for number, name in enumerate(NUMBERS)}
_CELL = 1 + 4 * len(NUMBERS)
_STORED = _PLACES | {f"{name}²": at + 2 for name, at in _PLACES.items()}
"""The place of a count and a sum in a cell, by the name they are stored with. Sums of earlier versions have no squares;
their count says of how many numbers the squares are."""


def bin_width(name: str) -> float:
    """The width of the bins of a number's histogram; bin i holds [i·width, (i+1)·width)."""
    return _BIN_WIDTHS.get(name, _BIN_WIDTH)


@dataclass(frozen=True)
class NumberSums:
    """What is known of a number over the `count` images with status `ok` that have it.

    variance: of these images, over `count`. class_mean: the mean of the `classes` means of single classes, only of
    numbers that are defined for each class; the class of an image is its label, otherwise its target.
    """

    mean: float
    count: int
    class_mean: float | None = None
    classes: int = 0
    variance: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ClassRow:
    """The images with one label, target, prediction and status. means: of each number, and how many images have it."""

    label: str | None
    target: int | None
    prediction: int | None
    status: str
    images: int
    means: Mapping[str, tuple[float, int]]


class Sums:
    """Sums over results. totals: of the job, small. cells: by label, target, prediction and status."""

    def __init__(self) -> None:
        # totals: (images, method, status): count; (number, method, name): count, Σx, Σx²;
        # (bin, method, name, bin): count; (class, method, name, class): count, Σx
        # cells: IDENTITY: images, and then of each of NUMBERS: count, Σx and, with status `ok`, count, Σx². One vector
        # each, so that a cell has one key and not one for each number. x² is rounded to whole units.
        self.totals: Vectors = {}
        self.cells: Vectors = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sums) and (self.totals, self.cells) == (other.totals, other.cells)

    __hash__ = None  # type: ignore[assignment]

    def __iadd__(self, other: "Sums") -> "Sums":
        _merge(self.totals, other.totals, 1)
        _merge(self.cells, other.cells, 1)
        return self

    def __isub__(self, other: "Sums") -> "Sums":
        _merge(self.totals, other.totals, -1)
        _merge(self.cells, other.cells, -1)
        return self

    def add(self, identity: Sequence[str | int | None], numbers: Iterable[tuple[str, float | None]]) -> None:
        """Count one result. identity: its IDENTITY columns. numbers: its numbers by column, each once."""
        method, label, target, _, status = identity
        explained = status == ImageStatus.OK
        group = str(target) if label is None else label
        _add(self.totals, ("images", method, status), 1)
        cell = self.cells.setdefault(tuple(identity), [0] * _CELL)
        cell[0] += 1
        for name, value in numbers:
            if value is None or not math.isfinite(value):
                continue
            units = round(float(value) / _UNIT)
            if (at := _PLACES.get(name)) is not None:
                cell[at] += 1
                cell[at + 1] += units
                if explained:
                    cell[at + 2] += 1
                    cell[at + 3] += round(float(value) * float(value) / _UNIT)
            if explained:
                place = math.floor(value / bin_width(name) + 1e-9)  # 0.58 / 0.02 is a little below 29
                _add(self.totals, ("number", method, name), 1, units, units * units)
                _add(self.totals, ("bin", method, name, max(-_LAST_BIN, min(place, _LAST_BIN))), 1)
                if name in COLUMNS and COLUMNS[name].per_class:
                    _add(self.totals, ("class", method, name, group), 1, units)

    def statuses(self, method: str = PRIMARY_METHOD) -> dict[str, int]:
        """Images by status, without zeros."""
        return {str(k[2]): v[0] for k, v in self.totals.items() if k[:2] == ("images", method)}

    def numbers(self, method: str = PRIMARY_METHOD) -> dict[str, NumberSums]:
        """What is known of each number, in the order of the catalogue; without numbers that no image has."""
        single: dict[str, list[float]] = {}
        for key, vector in self.totals.items():
            if key[:2] == ("class", method):
                single.setdefault(str(key[2]), []).append(vector[1] / vector[0] * _UNIT)
        found = {}
        for key, vector in self.totals.items():
            if key[:2] != ("number", method):
                continue
            name, (count, total, squares) = str(key[2]), vector
            of_classes = sorted(single.get(name, ()))
            found[name] = NumberSums(
                mean=total / count * _UNIT,
                count=count,
                class_mean=math.fsum(of_classes) / len(of_classes) if of_classes else None,
                classes=len(of_classes),
                # Whole numbers: a small variance of large numbers loses no digits.
                variance=(squares * count - total * total) / (count * count) * _UNIT * _UNIT,
            )
        rank = {name: place for place, name in enumerate(COLUMNS)}
        return {name: found[name] for name in sorted(found, key=lambda n: (rank.get(n, len(rank)), n))}

    def histogram(self, name: str, method: str = PRIMARY_METHOD) -> list[tuple[float, int]]:
        """(Left edge, images with status `ok`) of each bin that is not empty, from left to right."""
        bins = {k[3]: v[0] for k, v in self.totals.items() if k[:3] == ("bin", method, name)}
        edges = {place: place * bin_width(name) for place in bins if isinstance(place, int)}
        return [(edges[place], bins[place]) for place in sorted(edges)]

    def class_table(self, method: str = PRIMARY_METHOD) -> list[ClassRow]:
        """A row for each label, target, prediction and status that some image has; the most images first."""
        rows = []
        for (of, label, target, prediction, status), cell in self.cells.items():
            if of == method:
                rows.append(ClassRow(label, target, prediction, str(status), cell[0], _cell_means(cell)))  # type: ignore[arg-type]
        rows.sort(key=_largest_first)
        return rows

    def group(self, by: str, method: str = PRIMARY_METHOD) -> dict[str | int | None, "Sums"]:
        """The images by one of the columns of IDENTITY: cells only."""
        place = IDENTITY.index(by)
        groups: dict[str | int | None, Sums] = {}
        for key, vector in self.cells.items():
            if key[0] == method:
                groups.setdefault(key[place], Sums()).cells[key] = vector
        return groups

    def explained_means(self, method: str = PRIMARY_METHOD) -> dict[str, tuple[float, int]]:
        """From cells: the mean of each number over images with status `ok`, and how many have it."""
        return _cell_means(self._explained(method))

    def explained_spreads(self, method: str = PRIMARY_METHOD) -> dict[str, tuple[float, int, float | None]]:
        """From cells: the mean of each number over images with status `ok`, how many have it, and their variance over
        that count; None where an earlier version counted some of them."""
        total = self._explained(method)
        return {
            name: (mean, count, _variance(mean, count, total[_PLACES[name] + 2], total[_PLACES[name] + 3]))
            for name, (mean, count) in _cell_means(total).items()
        }

    def _explained(self, method: str) -> list[int]:
        cells = [v for key, v in self.cells.items() if key[0] == method and key[-1] == ImageStatus.OK]
        return list(map(sum, zip(*cells, strict=True))) or [0] * _CELL

    def images_by(self, *columns: str, method: str = PRIMARY_METHOD) -> dict[Key, int]:
        """From cells: images by these columns of IDENTITY, without zeros."""
        places = [IDENTITY.index(column) for column in columns]
        counts: dict[Key, int] = {}
        for key, cell in self.cells.items():
            if key[0] == method:
                chosen = tuple([key[place] for place in places])
                counts[chosen] = counts.get(chosen, 0) + cell[0]
        return {chosen: count for chosen, count in counts.items() if count}

    def cell_statuses(self, method: str = PRIMARY_METHOD) -> dict[str, int]:
        """From cells: images by status, without zeros."""
        return {str(status): count for (status,), count in self.images_by("status", method=method).items()}

    def packed(self) -> tuple[bytes, bytes]:
        """`totals` and `cells` as they are stored."""
        return _pack((), self.totals), _pack_cells(self.cells)

    @staticmethod
    def labels_in(cells: bytes) -> set[str | int | None]:
        """The labels of packed cells; quicker than to unpack them."""
        with _without_collections():
            return {key[1] for key in _unpack(cells)[1]}

    @classmethod
    def unpacked(cls, totals: bytes | None, cells: bytes | None) -> "Sums":
        """What `packed` returned; either may be left out where it is not asked for."""
        sums = cls()
        with _without_collections():
            sums.totals, sums.cells = _unpack(totals)[1], _unpack_cells(cells)
        return sums


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Without garbage collections, which find nothing here and take half of the time of making ten thousands of
    lists."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _add(vectors: Vectors, key: Key, *values: int) -> None:
    if (vector := vectors.get(key)) is None:
        vectors[key] = list(values)
    else:
        for place, value in enumerate(values):
            vector[place] += value


def _merge(into: Vectors, other: Vectors, sign: int) -> None:
    for key, values in other.items():
        signed = values if sign == 1 else [-value for value in values]
        if (vector := into.get(key)) is None:
            into[key] = list(signed)
            continue
        vector[: len(signed)] = map(add, vector, signed)
        if not any(vector):
            del into[key]


def _cell_means(cell: list[int]) -> dict[str, tuple[float, int]]:
    return {name: (cell[at + 1] / cell[at] * _UNIT, cell[at]) for name, at in _PLACES.items() if cell[at]}


def _variance(mean: float, count: int, squared: int, squares: int) -> float | None:
    return max(0.0, squares / count * _UNIT - mean * mean) if squared == count else None


def _largest_first(row: ClassRow) -> tuple[Any, ...]:
    label, target, prediction = row.label or "", row.target or 0, row.prediction or 0
    return -row.images, row.label is None, label, row.target is None, target, prediction, row.status


def _pack_cells(cells: Vectors) -> bytes:
    """Only the numbers that some cell has; their names are stored with them, since a later version may have others."""
    names = [name for name, at in _STORED.items() if any(cell[at] or cell[at + 1] for cell in cells.values())]
    places = [0, *(place for name in names for place in (_STORED[name], _STORED[name] + 1))]
    return _pack(names, {key: [cell[place] for place in places] for key, cell in cells.items()})


def _unpack_cells(data: bytes | None) -> Vectors:
    names, packed = _unpack(data)
    places = [0, *(place for name in names for place in (_STORED[name], _STORED[name] + 1))]
    stored = {place: at for at, place in enumerate(places)}
    # Of each value of a cell, which of the stored ones it is; the last, a zero, where it is not stored.
    cell_of = itemgetter(*(stored.get(place, len(places)) for place in range(_CELL)))
    return {key: list(cell_of((*values, 0))) for key, values in packed.items()}


def _pack(names: Sequence[str], vectors: Vectors) -> bytes:
    rows = [[*key, vector] for key, vector in vectors.items()]
    return zlib.compress(json.dumps([names, rows], separators=(",", ":")).encode(), 1)


def _unpack(data: bytes | None) -> tuple[list[str], Vectors]:
    names, rows = json.loads(zlib.decompress(data)) if data else ([], [])
    return names, {tuple(key): vector for *key, vector in rows}
