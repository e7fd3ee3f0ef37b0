"""The frozen listing of a job: one Parquet file with one row per image. The row number identifies the image from then
on.

    written = write(entries(source.list(), classes), path, {"dataset": source.spec, "kind": source.kind})
    manifest = Manifest.open(path)
    manifest.rows(10_000, 10_256)          reads only the row groups that hold them

Columns: row int64, key string, size int64, version string, label string?, target int32?,
boxes list<struct<label, left, top, right, bottom, difficult, unit, frame, outline>>, boxes_error string?, extra string
(JSON object), of which results keep the columns that the metadata names with their types, labels list<string>? and
targets list<int32?>?, only of images with several labels. The boxes are as the dataset
writes them; `annotations.settle` fits them to the photograph. Compressed with zstd, row groups of 10,000. The file's
metadata holds what the caller passes plus `schema_version`, `columns`, `count` and `listing` (the digest that
`gfi.datasets.sources.fingerprint` computes of an unchanged listing).

The file is written as a stream. Two images with the same key would have one result, so duplicate keys are an error; to
find them, 8 bytes per key are held (80 MB for ten million, and as much again while they are sorted at the end), and a
suspected pair is looked up in the file, so the answer is exact. Measured: the process peaks at 154 MB with 300,000 rows
and at 168 MB with a million, so ten million need about 0.4 GB; a million rows take 20 s to write and 12 MB on disk, 256
rows 11 ms to read.
"""

import contextlib
import hashlib
import io
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Listed, ListingDigest
from gfi.datasets.notes import ListingNotes
from gfi.domain.class_index import ClassIndex
from gfi.domain.manifest_columns import Census, Kind, Value, typed
from gfi.store.errors import one_line

SCHEMA_VERSION = 3
READABLE_VERSIONS = ("1", "2", "3")
"""Version 1 had no unit and frame of boxes, and no boxes_error; 2 no labels. A manifest in which no image has several
labels is still called 2, so that workers of an earlier version read it."""
ROW_GROUP = 10_000
COLUMNS = "columns"
"""The key of the file's metadata that holds the types of the further columns."""

_BOX = pa.struct(
    [
        pa.field("label", pa.string()),
        *(pa.field(side, pa.float64(), nullable=False) for side in ("left", "top", "right", "bottom")),
        pa.field("difficult", pa.bool_(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("frame", pa.list_(pa.int32(), 2)),
        pa.field("outline", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("target", pa.int32()),
        pa.field("boxes", pa.list_(pa.field("item", _BOX, nullable=False)), nullable=False),
        pa.field("extra", pa.string(), nullable=False),
        pa.field("boxes_error", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("targets", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One row. target: the class index that `label` means, or None. boxes: as listed; boxes_error: why its boxes could
    not be read. labels, targets: of an image with several labels, which has neither label nor target."""

    row: int
    key: str
    size: int
    version: str
    label: str | None = None
    target: int | None = None
    boxes: tuple[Box, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    boxes_error: str | None = None
    columns: Mapping[str, Value] = field(default_factory=dict, compare=False)
    """The typed columns of `extra` that results keep; only for an entry that was read from a manifest."""
    labels: tuple[str, ...] = ()
    targets: tuple[int | None, ...] = ()

    @property
    def unmatched(self) -> bool:
        """Whether a label of it is no class of the model."""
        return None in self.targets or (self.label is not None and self.target is None)

    def by_label(self) -> "tuple[Entry, ...]":
        """The image once for each of its labels that is a class of the model, with this label and target; each class
        once. Of an image without several such labels: the image itself, without label where it had several."""
        classes: dict[int, str] = {}
        for label, target in zip(self.labels, self.targets, strict=True):
            if target is not None:
                classes.setdefault(target, label)
        alone = replace(self, labels=(), targets=())
        return tuple(replace(alone, label=label, target=target) for target, label in classes.items()) or (
            alone,
        )


@dataclass(frozen=True)
class Written:
    """sha256, bytes: of the file. listing: digest of the listing. unmatched: rows whose label is not a class. columns:
    the columns of `extra` that results keep, with their types; notes: what results do not keep. several: rows with
    several labels."""

    count: int
    sha256: str
    bytes: int
    listing: str
    unmatched: int
    columns: Mapping[str, Kind] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    several: int = 0


def entries(
    listing: Iterable[Listed], classes: ClassIndex | None = None, notes: ListingNotes | None = None
) -> Iterator[Entry]:
    """Number a listing from 0 and find the classes of its labels. notes: records labels that could also mean another
    class."""

    @lru_cache(100_000)
    def find(label: str) -> tuple[int | None, str | None]:
        return (None, None) if classes is None else (classes.find(label), classes.decision(label))

    for row, item in enumerate(listing):
        meant = [find(label) for label in ((item.label,) if item.label is not None else item.labels)]
        for _, decision in meant:
            if decision is not None and notes is not None:
                notes.image(decision, item.key)
        targets = tuple(target for target, _ in meant)
        yield Entry(
            *(row, item.key, item.size, item.version, item.label, None if item.label is None else targets[0]),
            *(item.boxes, item.extra, item.boxes_error),
            labels=item.labels,
            targets=() if item.label is not None else targets,
        )


def write(rows: Iterable[Entry], path: Path, metadata: Mapping[str, str]) -> Written:
    """Write a manifest. Nothing is left at `path` when this raises.

    DatasetError: two rows with the same key (named), or no rows.
    """
    digest, hashes, unmatched, several, census = ListingDigest(), array("q"), 0, 0, Census()
    stream = iter(rows)
    try:
        with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
            while group := list(islice(stream, ROW_GROUP)):
                _refuse_equal_keys(group, digest.count)  # so that a listing that repeats one key ends early
                for entry in group:
                    digest.add(entry.key, entry.version, entry.size, entry.label, entry.boxes, entry.labels)
                    hashes.append(hash(entry.key))
                    census.add(entry.extra)
                    unmatched += entry.unmatched
                    several += bool(entry.labels)
                writer.write_table(_table(group), row_group_size=ROW_GROUP)
            totals = {
                "schema_version": str(SCHEMA_VERSION if several else 2),
                "count": str(digest.count),
                "listing": digest.hexdigest(),
            }
            # The rows of a retry keep the types that were decided over all rows of the job.
            writer.add_key_value_metadata({COLUMNS: json.dumps(census.kinds), **metadata, **totals})
        if not digest.count:
            raise DatasetError("the listing is empty")
        _refuse_duplicates(path, hashes)
        return Written(
            *(digest.count, _sha256(path), path.stat().st_size, digest.hexdigest(), unmatched),
            *(census.kinds, tuple(census.notes()), several),
        )
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def subset(manifest: "Manifest", rows: Sequence[int], path: Path, metadata: Mapping[str, str]) -> Written:
    """Writes the rows with these numbers (`Entry.row`) as a new manifest, for a retry: ascending, each with its old
    number. `source` may itself be such a manifest. Raises DatasetError if one of them does not exist."""
    return write(manifest.pick(rows), path, {**manifest.metadata, **metadata})


def reorder(manifest: "Manifest", first: Sequence[NDArray[np.bool_]], path: Path) -> str:
    """Write the rows of a manifest in another order, numbered anew. Returns the SHA-256 of the file.

    first: disjoint masks (rows,); the rows of each come in turn, in their order. The digest of the listing, which is in
    the metadata, stays that of the order in which the dataset was listed.
    """
    rest = ~np.logical_or.reduce(first)
    number = 0
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:

        def flush() -> None:
            nonlocal number
            table = pa.concat_tables(waiting)
            rows = pa.array(np.arange(number, number + len(table)), pa.int64())
            writer.write_table(table.set_column(0, _SCHEMA.field("row"), rows), row_group_size=ROW_GROUP)
            number += len(table)
            waiting.clear()

        for mask in (*first, rest):
            at = 0
            for table in manifest.tables():
                waiting.append(table.filter(pa.array(mask[at : at + len(table)])).cast(_SCHEMA))
                at += len(table)
                if sum(map(len, waiting)) >= ROW_GROUP:
                    flush()
        if sum(map(len, waiting)):
            flush()
        writer.add_key_value_metadata(manifest.metadata)
    return _sha256(path)


class Manifest:
    """A manifest opened for reading. Only the file's footer is kept in memory; use one instance per thread."""

    def __init__(self, file: pq.ParquetFile, path: Path):
        self._file, self.path = file, path
        raw = file.schema_arrow.metadata or {} if file.metadata.metadata is None else file.metadata.metadata
        self.metadata = {k.decode(): v.decode() for k, v in raw.items() if k != b"ARROW:schema"}
        self.count: int = file.metadata.num_rows
        self.columns: Mapping[str, Kind] = json.loads(self.metadata.get(COLUMNS, "{}"))
        """The columns of `extra` that results keep, with their types."""
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @staticmethod
    def open(path: Path, file: io.RawIOBase | None = None) -> "Manifest":
        """DatasetError when it is missing, damaged or of another schema version. file: read instead of the one at
        `path`, which then is only its name."""
        try:
            manifest = Manifest(pq.ParquetFile(path if file is None else file), path)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"cannot read the manifest {path}: {one_line(error)}") from error
        version = manifest.metadata.get("schema_version")
        if version not in READABLE_VERSIONS:
            raise DatasetError(
                f"the manifest {path} has schema version {version}; this program reads "
                + " and ".join(READABLE_VERSIONS)
            )
        return manifest

    def rows(self, start: int, stop: int) -> list[Entry]:
        """Positions start … stop−1, cut at the end of the file."""
        start, stop = max(0, start), min(stop, self.count)
        if start >= stop:
            return []
        first, last = (int(np.searchsorted(self._starts, p, side="right")) - 1 for p in (start, stop - 1))
        table = self._read(range(first, last + 1))
        return _entries(table.slice(start - int(self._starts[first]), stop - start), self.columns)

    def __iter__(self) -> Iterator[Entry]:
        for group in range(self._file.num_row_groups):
            yield from _entries(self._read([group]), self.columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The file as Arrow tables of some thousand rows, with all columns or these."""
        for group in range(self._file.num_row_groups):
            yield self._file.read_row_group(group, columns=columns, use_threads=False)

    def pick(self, rows: Iterable[int]) -> Iterator[Entry]:
        """The rows of these numbers, ascending; one row group in memory at a time."""
        wanted = np.unique(np.fromiter(rows, dtype=np.int64))
        picked = 0
        for group in range(self._file.num_row_groups):
            numbers = self._file.metadata.row_group(group).column(0).statistics
            low, high = np.searchsorted(wanted, (numbers.min, numbers.max + 1))
            if low < high:
                table = self._read([group])
                chosen = table.filter(np.isin(table.column("row").to_numpy(), wanted[low:high]))
                picked += len(chosen)
                yield from _entries(chosen, self.columns)
        if picked != len(wanted):
            raise DatasetError(
                f"{len(wanted) - picked} of {len(wanted)} rows are not in the manifest {self.path}"
            )

    def _read(self, groups: Iterable[int]) -> pa.Table:
        try:
            return self._file.read_row_groups(list(groups), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"cannot read the manifest {self.path}: {one_line(error)}") from error


def _table(group: Sequence[Entry]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for entry in group:
        columns["row"].append(entry.row)
        columns["key"].append(entry.key)
        columns["size"].append(entry.size)
        columns["version"].append(entry.version)
        columns["label"].append(entry.label)
        columns["target"].append(entry.target)
        columns["boxes"].append([vars(box) for box in entry.boxes])
        columns["extra"].append(json.dumps(dict(entry.extra)) if entry.extra else "{}")
        columns["boxes_error"].append(entry.boxes_error)
        columns["labels"].append(list(entry.labels) or None)
        columns["targets"].append(list(entry.targets) or None)
    return pa.Table.from_pydict(columns, schema=_SCHEMA)


def _entries(table: pa.Table, columns: Mapping[str, Kind]) -> list[Entry]:
    extras = [json.loads(extra) for extra in table.column("extra").to_pylist()]
    return [
        Entry(
            row=item["row"],
            key=item["key"],
            size=item["size"],
            version=item["version"],
            label=item["label"],
            target=item["target"],
            boxes=tuple(_box(box) for box in item["boxes"]),
            extra=extra,
            boxes_error=item.get("boxes_error"),
            columns=typed(extra, columns),
            labels=tuple(item.get("labels") or ()),
            targets=tuple(item.get("targets") or ()),
        )
        for item, extra in zip(table.to_pylist(), extras, strict=True)
    ]


def _box(values: Mapping[str, Any]) -> Box:
    frame = values.get("frame")
    return Box(**{**values, "frame": tuple(frame) if frame else None})


def _refuse_equal_keys(group: Sequence[Entry], first: int) -> None:
    seen: dict[str, int] = {}
    for position, entry in enumerate(group, first):
        if (earlier := seen.setdefault(entry.key, position)) != position:
            raise _listed_twice(entry.key, earlier, position)


def _listed_twice(key: str, earlier: int, later: int) -> DatasetError:
    return DatasetError(f"the key {key!r} is listed twice, as images {earlier} and {later} (counted from 0)")


def _refuse_duplicates(path: Path, hashes: "array[int]") -> None:
    values = np.frombuffer(hashes, dtype=np.int64)
    ordered = np.sort(values)
    doubled = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not doubled.size:
        return
    seen: dict[str, int] = {}
    file = pq.ParquetFile(path)
    position = 0
    for group in range(file.num_row_groups):
        keys = file.read_row_group(group, columns=["key"]).column("key")
        for offset in np.flatnonzero(np.isin(values[position : position + len(keys)], doubled)):
            key, row = keys[int(offset)].as_py(), position + int(offset)
            if key in seen:
                raise _listed_twice(key, seen[key], row)
            seen[key] = row
        position += len(keys)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
