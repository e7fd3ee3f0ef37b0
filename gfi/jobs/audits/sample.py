"""The images that an audit looks at again after its stream: those of the smallest keyed hash in each class."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.audit.cluster_columns import RIGHT
from gfi.audit.plan import Explained
from gfi.jobs.audits.files import Kept
from gfi.jobs.audits.reading import CELLS, Chunk

MOST = 120_000
FEWEST_PER_CLASS = 60
SPARE = 4
"""Images of a class are dropped when it has a quarter more than are kept: rarely, and little memory is held."""


def per_class(classes: int, wanted: int) -> int:
    """How many images of a class are kept: `wanted`, or fewer where there are very many classes."""
    return max(FEWEST_PER_CLASS, min(wanted, MOST // max(classes, 1)))


class _Image(NamedTuple):
    class_index: int
    label: int
    grid: NDArray[np.float16]
    screening: bool
    boxes: NDArray[np.float64] | None
    features: NDArray[np.float16] | None
    numbers: NDArray[np.float32]
    words: tuple[str, ...]


class Sample:
    """Keeps the images of a stream with the smallest hash in their class. The hash depends on key and secret alone, so
    the same images are kept in any order of the stream."""

    def __init__(self, most: int, secret: str) -> None:
        self._most, self._secret = most, hashlib.sha256(b"sample" + secret.encode()).digest()[:32]
        self._kept: dict[int, list[tuple[int, int]]] = {}  # class → (hash, place in the lists below)
        self._rows: dict[int, _Image] = {}
        self._numbers: list[str] = []
        self._words: list[str] = []
        """The columns of numbers and of words, as the first chunk has them."""

    def add(self, chunk: Chunk, screening: NDArray[np.bool_]) -> None:
        """Keep what belongs to the sample. screening (N,): the half of each image of the chunk."""
        boxes: dict[int, list[int]] = {}
        for number, owner in enumerate(chunk.owners.tolist()):
            boxes.setdefault(owner, []).append(number)
        read = chunk.read
        numbers, words = self._columns(chunk)
        grids = read.grids.astype(np.float16)
        halves, labels = screening.tolist(), chunk.labels.tolist()
        for place, (key, k, row) in enumerate(
            zip(read.keys, read.classes.tolist(), read.rows.tolist(), strict=True)
        ):
            value = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=self._secret).digest())
            kept = self._kept.setdefault(k, [])
            kept.append((value, row))
            own = boxes.get(place)
            # Copies, so that a kept image does not keep its whole chunk in memory.
            self._rows[row] = _Image(
                k,
                labels[place],
                grids[place].copy(),
                halves[place],
                None if own is None else chunk.boxes[own],
                None if read.features is None else read.features[place].copy(),
                numbers[place].copy(),
                tuple(column[place] for column in words),
            )
            if len(kept) >= self._most + max(1, self._most // SPARE):
                self._prune(kept)

    def _columns(self, chunk: Chunk) -> tuple[NDArray[np.float32], list[Sequence[str]]]:
        """Numbers (N, columns), NaN where the chunk has none; and its columns of words."""
        columns = {**chunk.columns, RIGHT: chunk.right}
        if not self._rows:
            numeric = [name for name, column in columns.items() if isinstance(column, np.ndarray)]
            self._numbers, self._words = numeric, [name for name in columns if name not in numeric]
        missing = np.full(len(chunk.labels), np.nan)
        numbers = np.stack([np.asarray(columns.get(name, missing), np.float32) for name in self._numbers], 1)
        none = ["(none)"] * len(chunk.labels)
        return numbers, [columns.get(name, none) for name in self._words]  # type: ignore[misc]  # words

    def _prune(self, kept: list[tuple[int, int]]) -> None:
        kept.sort()
        for _, row in kept[self._most :]:
            del self._rows[row]
        del kept[self._most :]

    def kept(self) -> Kept:
        """The sample, in the order of the manifest. Nothing is kept here any more, so it is called once."""
        for kept in self._kept.values():
            self._prune(kept)
        rows = sorted(self._rows)
        values = [self._rows.pop(row) for row in rows]
        boxes = {i: one.boxes for i, one in enumerate(values) if one.boxes is not None}
        labels = np.array([one.label for one in values], np.int64)
        data = Explained(
            np.array([one.class_index for one in values], np.int64),
            _stacked([one.grid for one in values]),
            np.array([one.screening for one in values], bool),
            boxes or None,
            labels=labels if (labels >= 0).any() else None,
            features=_features([one.features for one in values]),
            columns={
                **{
                    name: np.array([one.numbers[n] for one in values]) for n, name in enumerate(self._numbers)
                },
                **{name: [one.words[n] for one in values] for n, name in enumerate(self._words)},
            },
        )
        return Kept(np.array(rows, np.int64), data)


def _stacked(grids: Sequence[NDArray[np.float16]]) -> NDArray[np.float32]:
    """(N, CELLS, CELLS). Filled one by one: a stack of float16 beside it would be half as large again."""
    out = np.zeros((len(grids), CELLS, CELLS), np.float32)
    for place, grid in enumerate(grids):
        out[place] = grid
    return out


def _features(listed: Sequence[NDArray[np.float16] | None]) -> NDArray[np.float16] | None:
    """Features (N, d) of the width that most images have, NaN for the others; None where no image has any."""
    widths = Counter(len(one) for one in listed if one is not None)
    if not widths:
        return None
    width = widths.most_common(1)[0][0]
    missing = np.full(width, np.nan, np.float16)
    return np.stack([missing if one is None or len(one) != width else one for one in listed])
