"""Streams what an audit reads of a job: masks from its parts, boxes and columns from its manifest."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gfi.audit.part_columns import PartColumns, joined, part_columns
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.manifest import Entry, Manifest
from gfi.domain.class_index import ClassIndex
from gfi.domain.job import JobConfig
from gfi.domain.manifest_columns import Kind
from gfi.domain.pixel_properties import PROPERTIES
from gfi.domain.statuses import ImageStatus
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache

CELLS = 14
LABELS = 10_000
"""Labels whose class is remembered."""
PARTS = 4
"""Parts that are held while results stream in the order of rows: a part is needed again on the next page at most."""
SPARSE = 4
"""Rows of the listing for each result, above which its entries are picked one by one."""
Sides = tuple[float, float, float, float]
_READ = ("row", "target_rank", "status", "part_id", "part_row")


@dataclass(frozen=True)
class Chunk:
    """Some usable masks: of an image each, or of an image and one of its labels. boxes (M, 4): those of the explained
    class, in [0, 1] of the network's view, of the chunk's masks `owners` (M,). columns: the pixel properties of the
    parts, NaN where they were not measured, and the further columns of the manifest. labels (N,): the class each image
    is labelled as, of several labels the one explained if it is among them; −1 where that is none. right (N,): whether
    the prediction is the label, or one of them, 1 or 0; NaN where one of them is not known. also (L, 2): (mask of the
    chunk, class) of images with several labels."""

    read: PartColumns
    boxes: NDArray[np.float64]
    owners: NDArray[np.intp]
    columns: Mapping[str, NDArray[np.float64] | Sequence[str]]
    labels: NDArray[np.int64]
    right: NDArray[np.float64]
    also: NDArray[np.int64]


@dataclass
class Reading:
    """How the stream went. images: usable masks, of images or of their labels. rows: of the listing, read so far.
    iterations: of the optimiser, summed. boxes: masks with boxes of their class that could be used. measured: masks of
    images with pixel properties. left_out: results without a usable mask, by status; damaged: parts that could not be
    read."""

    images: int = 0
    rows: int = 0
    iterations: int = 0
    boxes: int = 0
    measured: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    damaged: int = 0


def chunks(
    database: Database, bucket: Bucket, job: queries.Job, manifest: Manifest, reading: Reading
) -> Iterator[Chunk]:
    """The current results of a job that can be audited, a page of some thousands at a time; `reading` counts them.

    Of several classes of an image the first counts; in a job that explains labels, each label. A part that is lost or
    damaged is counted and left out.
    """
    cache = PartCache(database, bucket, PARTS)
    record = job.model or {}
    names, wordnet_ids = record.get("class_names") or [], record.get("wordnet_ids") or []
    find = lru_cache(LABELS)(ClassIndex.of(names, wordnet_ids, record.get("classes", 0)).find)
    each_label = job.config.each_label
    # Of the newest image: its row, and where its first result is.
    first: tuple[int, str | None, int | None] = (-1, None, None)
    for page in queries.iterate_columns(database, job.id, _READ):
        of_part: dict[str, list[_Stored]] = {}
        for row, rank, status, part_id, part_row in page:
            if not rank:
                first = row, part_id, part_row
            elif not each_label:
                continue
            if part_id is None or part_row is None:
                reading.left_out[status] += 1
            else:
                beside = part_row if not rank else first[2] if first[:2] == (row, part_id) else None
                of_part.setdefault(part_id, []).append(
                    _Stored(row, part_row, status, -1 if beside is None else beside)
                )
        reading.rows = first[0] + 1
        read = []
        for part_id, stored in of_part.items():
            firsts = [one.first for one in stored] if each_label else None
            try:
                columns = part_columns(cache.part(part_id), CELLS, [one.place for one in stored], firsts)
            except Transient:
                raise  # the part may be whole; it is read again
            except StoreError:
                if not _readable(bucket):
                    raise
                reading.damaged += 1
                continue
            # A result that was carried over from an earlier job has another row there.
            rows = np.array([one.row for one in stored], np.int64)[columns.places]
            usable = set(columns.places.tolist())
            reading.left_out.update(
                _unusable(one.status) for number, one in enumerate(stored) if number not in usable
            )
            read.append(replace(columns, rows=rows))
        page_columns = joined(read, CELLS)
        if len(page_columns.rows):
            reading.images += len(page_columns.rows)
            reading.iterations += page_columns.iterations
            reading.measured += _measured(page_columns)
            yield _with_manifest(page_columns, job.config, manifest, find, reading)


class _Stored(NamedTuple):
    """A result: its row, its place in the part, its status, and the place of the image's first result or −1."""

    row: int
    place: int
    status: str
    first: int


def _measured(read: PartColumns) -> int:
    """How many of the images have pixel properties."""
    measured = read.pixels.get("brightness")
    return 0 if measured is None else int(np.isfinite(measured).sum())


def _unusable(status: str) -> str:
    """What a result without a usable mask is counted as."""
    return "without a usable mask" if status == ImageStatus.OK else status


def _readable(bucket: Bucket) -> bool:
    """Whether the bucket answers, so that a part alone is lost or damaged."""
    try:
        bucket.head("audits/")
    except StoreError:
        return False
    return True


def _with_manifest(
    read: PartColumns,
    config: JobConfig,
    manifest: Manifest,
    find: Callable[[str], int | None],
    reading: Reading,
) -> Chunk:
    first, stop = int(read.rows[0]), int(read.rows[-1]) + 1
    # Of a sample of a long listing only the entries that are needed are decoded.
    dense = stop - first <= SPARSE * len(read.rows)
    entries = {e.row: e for e in (manifest.rows(first, stop) if dense else manifest.pick(read.rows.tolist()))}
    listed = [entries.get(row) for row in read.rows.tolist()]
    targets, sizes, views = read.classes.tolist(), read.sizes.tolist(), read.views.tolist()
    boxes: list[Sides] = []
    owners: list[int] = []
    for place, entry in enumerate(listed):
        if entry is None or not entry.boxes:
            continue
        found = _boxes(entry, targets[place], sizes[place], views[place], find)
        if found:
            reading.boxes += 1
            boxes += found
            owners += [place] * len(found)
    carried = [_classes(entry, find) for entry in listed]
    labels = np.array([_label(mine, k) for mine, k in zip(carried, targets, strict=True)], np.int64)
    right = np.array(
        [
            _right(p, (label,) if config.each_label else mine, config.decides_each_label)
            for p, label, mine in zip(read.predictions.tolist(), labels.tolist(), carried, strict=True)
        ]
    )
    also = [(place, k) for place, mine in enumerate(carried) if len(mine) > 1 for k in mine]
    return Chunk(
        read,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(owners, np.intp),
        dict(read.pixels)
        | {
            f"{name} (column)" if name in PROPERTIES else name: _column(name, kind, listed)
            for name, kind in manifest.columns.items()
        },
        labels,
        right,
        np.array(also, np.int64).reshape(-1, 2),
    )


def _classes(entry: Entry | None, find: Callable[[str], int | None]) -> tuple[int, ...]:
    """The classes that the labels of an image name, each once."""
    if entry is None:
        return ()
    names = entry.labels or ((entry.label,) if entry.label else ())
    return tuple(dict.fromkeys(k for k in map(find, names) if k is not None))


def _label(carried: tuple[int, ...], target: int) -> int:
    """The class that an image counts as labelled as, −1 for none."""
    return target if target in carried else carried[0] if carried else -1


def _right(prediction: int, among: tuple[int, ...], decided: bool) -> float:
    """Whether the prediction, −1 for none, is one of these classes; NaN where that is not known.

    decided: whether a result without a prediction is a label that was not found, which is wrong.
    """
    if not among or among[0] < 0 or (prediction < 0 and not decided):
        return math.nan
    return float(prediction in among)


def _boxes(
    entry: Entry,
    target: int,
    size: Sequence[float],
    view: Sequence[float],
    find: Callable[[str], int | None],
) -> list[Sides]:
    """The boxes of the target's class in [0, 1] of the network's view. Numbers of Python: for one box they take a fifth
    of the time of arrays, and there are a million images."""
    if not all(map(math.isfinite, (*size, *view))):
        return []
    left, top, right, bottom = view
    width, height = right - left, bottom - top
    shares = []
    for box in settle_boxes(entry.boxes, (int(size[0]), int(size[1]))).boxes:
        label = box.label or entry.label
        if label is not None and find(label) != target:
            continue
        x0, x1 = (min(max((x - left) / width, 0.0), 1.0) for x in (box.left, box.right))
        y0, y1 = (min(max((y - top) / height, 0.0), 1.0) for y in (box.top, box.bottom))
        if x1 > x0 and y1 > y0:
            shares.append((x0, y0, x1, y1))
    return shares


def _column(name: str, kind: Kind, listed: Sequence[Entry | None]) -> NDArray[np.float64] | Sequence[str]:
    values = [None if entry is None else entry.columns.get(name) for entry in listed]
    if kind == "number":
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    return ["(none)" if value is None else str(value) for value in values]
