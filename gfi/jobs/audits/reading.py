"""Streams what an audit reads of a job: masks from its parts, boxes and columns from its manifest."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gfi.audit.part_columns import PartColumns, part_columns
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.manifest import Entry, Manifest
from gfi.domain.class_index import ClassIndex
from gfi.domain.manifest_columns import Kind
from gfi.domain.statuses import ImageStatus
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache

CELLS = 14
_READ = ("row", "target_rank", "status", "part_id", "part_row")


@dataclass(frozen=True)
class Chunk:
    """Some images with usable masks. boxes (M, 4): those of the explained class, in [0, 1] of the network's view, of
    the chunk's images `owners` (M,). columns: the further columns of the manifest."""

    read: PartColumns
    boxes: NDArray[np.float64]
    owners: NDArray[np.intp]
    columns: Mapping[str, NDArray[np.float64] | Sequence[str]]


@dataclass
class Reading:
    """How the stream went. images: with a usable mask. iterations: of the optimiser, summed. boxes: images whose boxes
    could be used. left_out: results without a usable mask, by status; damaged: parts that could not be read."""

    images: int = 0
    iterations: int = 0
    boxes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    damaged: int = 0


def chunks(
    database: Database, bucket: Bucket, job: queries.Job, manifest: Manifest, reading: Reading
) -> Iterator[Chunk]:
    """The current results of a job that can be audited, a page of some thousands at a time; `reading` counts them.

    Of several classes of an image the first counts. A part that is lost or damaged is counted and left out.
    """
    cache = PartCache(database, bucket)
    record = job.model or {}
    classes = ClassIndex.of(
        record.get("class_names") or [], record.get("wordnet_ids") or [], record.get("classes", 0)
    )
    for page in queries.iterate_columns(database, job.id, _READ):
        of_part: dict[str, list[tuple[int, int, str]]] = {}
        for row, rank, status, part_id, part_row in page:
            if rank:
                continue
            if part_id is None or part_row is None:
                reading.left_out[status] += 1
            else:
                of_part.setdefault(part_id, []).append((row, part_row, status))
        read = []
        for part_id, stored in of_part.items():
            try:
                columns = part_columns(cache.part(part_id), CELLS, [place for _, place, _ in stored])
            except StoreError:
                if not _readable(bucket):
                    raise
                reading.damaged += 1
                continue
            # A result that was carried over from an earlier job has another row there.
            rows = np.array([row for row, _, _ in stored], np.int64)[columns.places]
            usable = set(columns.places.tolist())
            reading.left_out.update(
                _unusable(status) for place, (_, _, status) in enumerate(stored) if place not in usable
            )
            read.append(replace(columns, rows=rows))
        joined = _joined(read)
        if len(joined.rows):
            reading.images += len(joined.rows)
            reading.iterations += joined.iterations
            yield _with_manifest(joined, manifest, classes, reading)


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


def _joined(read: Sequence[PartColumns]) -> PartColumns:
    if not read:
        return PartColumns(
            np.zeros(0, np.int64), (), np.zeros(0, np.int64), np.zeros((0, CELLS, CELLS), np.float32), 0
        )
    rows = np.concatenate([one.rows for one in read])
    order = np.argsort(rows, kind="stable")
    keys = [key for one in read for key in one.keys]
    return PartColumns(
        rows[order],
        tuple(keys[i] for i in order),
        np.concatenate([one.classes for one in read])[order],
        np.concatenate([one.grids for one in read])[order],
        0,
        np.concatenate([one.sizes for one in read])[order],
        np.concatenate([one.views for one in read])[order],
        sum(one.iterations for one in read),
    )


def _with_manifest(read: PartColumns, manifest: Manifest, classes: ClassIndex, reading: Reading) -> Chunk:
    entries = {e.row: e for e in manifest.rows(int(read.rows[0]), int(read.rows[-1]) + 1)}
    listed = [entries.get(int(row)) for row in read.rows]
    boxes, owners = [], []
    for place, entry in enumerate(listed):
        if entry is None or not entry.boxes:
            continue
        found = _boxes(entry, int(read.classes[place]), read.sizes[place], read.views[place], classes)
        if len(found):
            reading.boxes += 1
            boxes.append(found)
            owners += [place] * len(found)
    return Chunk(
        read,
        np.concatenate([*boxes, np.zeros((0, 4))]),
        np.array(owners, np.intp),
        {name: _column(name, kind, listed) for name, kind in manifest.columns.items()},
    )


def _boxes(
    entry: Entry, target: int, size: NDArray[np.float64], view: NDArray[np.float64], classes: ClassIndex
) -> NDArray[np.float64]:
    """The boxes of the target's class in [0, 1] of the network's view: (M, 4)."""
    if not np.isfinite(size).all() or not np.isfinite(view).all():
        return np.zeros((0, 4))
    settled = settle_boxes(entry.boxes, (int(size[0]), int(size[1])))
    sides = []
    for box in settled.boxes:
        label = box.label or entry.label
        if label is None or classes.find(label) == target:
            sides.append(box.sides)
    if not sides:
        return np.zeros((0, 4))
    left, top, right, bottom = view
    shares = (np.array(sides) - (left, top, left, top)) / (
        right - left,
        bottom - top,
        right - left,
        bottom - top,
    )
    shares = np.clip(shares, 0, 1)
    return shares[(shares[:, 2] > shares[:, 0]) & (shares[:, 3] > shares[:, 1])]


def _column(name: str, kind: Kind, listed: Sequence[Entry | None]) -> NDArray[np.float64] | Sequence[str]:
    values = [None if entry is None else entry.columns.get(name) for entry in listed]
    if kind == "number":
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    return ["(none)" if value is None else str(value) for value in values]
