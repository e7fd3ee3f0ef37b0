"""The images that an audit looks at again after its stream: those of the smallest keyed hash in each class. An image
of several labels that are explained may be kept in each of their classes.

They are held in arrays, a block of some thousand images at a time: an object for each image took as much memory again
as its mask, and a hundred thousand images are kept of a large job.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.cluster_columns import RIGHT
from gfi.audit.explained import Explained
from gfi.jobs.audits.files import Kept
from gfi.jobs.audits.reading import CELLS, Chunk

MOST = 120_000
FEWEST_PER_CLASS = 60
SPARE = 4
"""Images of a class are dropped when it has a quarter more than are kept: rarely, and little memory is held."""
BLOCK = 4096


def per_class(classes: int, wanted: int) -> int:
    """How many images of a class are kept: `wanted`, or fewer where there are very many classes."""
    return max(FEWEST_PER_CLASS, min(wanted, MOST // max(classes, 1)))


class _Block:
    """Room for `BLOCK` images. boxes: the first of each. features: None while none of them has any."""

    def __init__(self, numbers: int, words: int) -> None:
        self.hashes = np.zeros(BLOCK, np.uint64)
        self.rows = np.full(BLOCK, -1, np.int64)
        self.classes = np.zeros(BLOCK, np.int64)
        self.labels = np.zeros(BLOCK, np.int64)
        self.screening = np.zeros(BLOCK, bool)
        self.grids = np.zeros((BLOCK, CELLS, CELLS), np.float16)
        self.boxes = np.full((BLOCK, 4), np.nan)
        self.features: NDArray[np.float16] | None = None
        self.numbers = np.zeros((BLOCK, numbers), np.float32)
        self.words = np.zeros((BLOCK, words), np.int32)


@dataclass
class _OfClass:
    """The places of a class's images; `most`: no larger hash is kept any more, once the class has been pruned."""

    places: list[int] = field(default_factory=list)
    most: int = 2**64


class Sample:
    """Keeps the images of a stream with the smallest hash in their class. The hash depends on key and secret alone, so
    the same images are kept in any order of the stream."""

    def __init__(self, most: int, secret: str) -> None:
        self._most, self._secret = most, hashlib.sha256(b"sample" + secret.encode()).digest()[:32]
        self._kept: dict[int, _OfClass] = {}
        self._blocks: list[_Block] = []
        self._free: list[int] = []
        self._always: list[int] = []
        self._more_boxes: dict[int, NDArray[np.float64]] = {}
        """Of images with several boxes of their class, by place."""
        self._also: dict[int, list[int]] = {}
        """The classes of images with several labels, by place."""
        self._features = 0
        self._numbers: list[str] = []
        self._words: list[str] = []
        """The columns of numbers and of words, as the first chunk has them."""
        self._values: list[dict[str, int]] = []
        """The words of each column, and their codes."""

    def add(
        self,
        chunk: Chunk,
        screening: NDArray[np.bool_],
        among: NDArray[np.bool_] | None = None,
        always: NDArray[np.bool_] | None = None,
    ) -> None:
        """Keep what belongs to the sample. screening (N,): the half of each image of the chunk.

        among (N,): the images that it is drawn from, if not all. always (N,): images that are kept beside it.
        """
        read = chunk.read
        if not self._blocks:
            self._begin(chunk)
        images, places = [], []
        for image, (key, k) in enumerate(zip(read.keys, read.classes.tolist(), strict=True)):
            if always is not None and always[image]:
                images.append(image)
                places.append(self._place())
                self._always.append(places[-1])
                continue
            if among is not None and not among[image]:
                continue
            digest = hashlib.blake2b(key.encode(), digest_size=8, key=self._secret).digest()
            value = int.from_bytes(digest)
            mine = self._kept.setdefault(k, _OfClass())
            if value > mine.most:
                continue
            place = self._place()
            # Needed at once, by a pruning within this chunk.
            self._blocks[place // BLOCK].hashes[place % BLOCK] = value
            images.append(image)
            places.append(place)
            mine.places.append(place)
            if len(mine.places) >= self._most + max(1, self._most // SPARE):
                self._prune(mine)
        self._fill(chunk, screening, np.array(images, np.intp), np.array(places, np.intp))

    def _begin(self, chunk: Chunk) -> None:
        columns = {**chunk.columns, RIGHT: chunk.right}
        self._numbers = [name for name, column in columns.items() if isinstance(column, np.ndarray)]
        self._words = [name for name in columns if name not in self._numbers]
        self._values = [{} for _ in self._words]

    def _place(self) -> int:
        if not self._free:
            first = len(self._blocks) * BLOCK
            self._blocks.append(_Block(len(self._numbers), len(self._words)))
            self._free = list(range(first + BLOCK - 1, first - 1, -1))
        return self._free.pop()

    def _fill(
        self,
        chunk: Chunk,
        screening: NDArray[np.bool_],
        images: NDArray[np.intp],
        places: NDArray[np.intp],
    ) -> None:
        """Write images of the chunk at their places. Of images that had one place in turn, the last one stays."""
        read = chunk.read
        columns = {**chunk.columns, RIGHT: chunk.right}
        missing = np.full(len(chunk.labels), np.nan)
        numbers = [np.asarray(columns.get(name, missing), np.float32) for name in self._numbers]
        codes = [self._codes(n, columns[name]) for n, name in enumerate(self._words)]
        first = np.full((len(chunk.labels), 4), np.nan)
        owners, at_box, boxes = np.unique(chunk.owners, return_index=True, return_counts=True)
        first[owners] = chunk.boxes[at_box]
        several = {
            int(owners[n]): chunk.boxes[at_box[n] : at_box[n] + boxes[n]] for n in np.flatnonzero(boxes > 1)
        }
        labels: dict[int, list[int]] = {}
        for image, k in chunk.also.tolist():
            labels.setdefault(image, []).append(k)
        if read.features is not None and not self._features:
            self._features = read.features.shape[1]
        known = (
            read.features if read.features is not None and read.features.shape[1] == self._features else None
        )
        for number in np.unique(places // BLOCK).tolist():
            block, here = self._blocks[number], places // BLOCK == number
            mine, at = images[here], places[here] % BLOCK
            block.rows[at], block.classes[at] = read.rows[mine], read.classes[mine]
            block.labels[at], block.screening[at] = chunk.labels[mine], screening[mine]
            block.grids[at], block.boxes[at] = read.grids[mine], first[mine]
            if known is not None and block.features is None:
                block.features = np.full((BLOCK, self._features), np.nan, np.float16)
            if block.features is not None:
                block.features[at] = np.nan if known is None else known[mine]
            for column, values in enumerate(numbers):
                block.numbers[at, column] = values[mine]
            for column, words in enumerate(codes):
                block.words[at, column] = words[mine]
        for image, place in zip(images.tolist(), places.tolist(), strict=True):
            self._more_boxes.pop(place, None)
            self._also.pop(place, None)
            if image in several:
                self._more_boxes[place] = several[image]
            if image in labels:
                self._also[place] = labels[image]

    def _codes(self, column: int, words: Iterable[Any]) -> NDArray[np.int32]:
        known = self._values[column]
        return np.array([known.setdefault(word, len(known)) for word in words], np.int32)

    def _prune(self, mine: _OfClass) -> None:
        if len(mine.places) <= self._most:
            return
        places = np.array(mine.places)
        hashes = np.array([self._blocks[p // BLOCK].hashes[p % BLOCK] for p in mine.places], np.uint64)
        order = np.argsort(hashes, kind="stable")
        self._free += places[order[self._most :]].tolist()
        mine.places = places[order[: self._most]].tolist()
        mine.most = int(hashes[order[self._most - 1]])

    def kept(self) -> Kept:
        """The sample, in the order of the manifest. Nothing is kept here any more, so it is called once."""
        for mine in self._kept.values():
            self._prune(mine)
        places = np.array([*self._always, *(p for mine in self._kept.values() for p in mine.places)], np.intp)
        rows = np.array([self._blocks[p // BLOCK].rows[p % BLOCK] for p in places.tolist()], np.int64)
        of_class = [self._blocks[p // BLOCK].classes[p % BLOCK] for p in places.tolist()]
        order = np.lexsort((of_class, rows))
        places, rows, number = places[order], rows[order], len(order)
        classes, labels = np.zeros(number, np.int64), np.zeros(number, np.int64)
        screening = np.zeros(number, bool)
        grids = np.zeros((number, CELLS, CELLS), np.float32)
        first = np.zeros((number, 4))
        features = np.full((number, self._features), np.nan, np.float16)
        numbers = np.zeros((number, len(self._numbers)), np.float32)
        words = np.zeros((number, len(self._words)), np.int32)
        for block_number in range(len(self._blocks)):
            block, to = self._blocks[block_number], np.flatnonzero(places // BLOCK == block_number)
            at = places[to] % BLOCK
            classes[to], labels[to], screening[to] = block.classes[at], block.labels[at], block.screening[at]
            grids[to], first[to] = block.grids[at], block.boxes[at]
            if block.features is not None:
                features[to] = block.features[at]
            numbers[to], words[to] = block.numbers[at], block.words[at]
            self._blocks[block_number] = _EMPTY  # its masks are now in `grids`, twice as large
        boxes = {int(i): first[i : i + 1] for i in np.flatnonzero(np.isfinite(first[:, 0]))}
        if self._more_boxes:
            boxes |= {i: self._more_boxes[p] for i, p in enumerate(places.tolist()) if p in self._more_boxes}
        also = [(i, k) for i, p in enumerate(places.tolist()) for k in self._also.get(p, ())]
        data = Explained(
            classes,
            grids,
            screening,
            boxes or None,
            labels=labels if (labels >= 0).any() else None,
            features=features if self._features else None,
            columns={
                **{name: numbers[:, n] for n, name in enumerate(self._numbers)},
                **{name: _words(words[:, n], self._values[n]) for n, name in enumerate(self._words)},
            },
            images=rows,
            also=np.array(also, np.int64) if also else None,
        )
        return Kept(rows, data)


_EMPTY = _Block.__new__(_Block)


def _words(codes: NDArray[np.int32], known: dict[str, int]) -> list[str]:
    words = list(known)
    return [words[code] for code in codes.tolist()]
