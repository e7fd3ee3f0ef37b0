"""A manifest file: a table with one row per image. CSV, JSONL or Parquet.

    key,label,boxes,camera
    day1/0001.jpg,n02124075,"[[12, 30, 220, 180]]",north
    s3://bucket/day2/0002.jpg,,,south

`key` is required: a path relative to the manifest's own folder (or to `?root=`), s3://bucket/key, or an
`https://` address of an allowed host (`media.web`).
`label`, `boxes` and `version` (the expected ETag of an S3 object) are optional; every other column, or those that
`?columns=` names, is kept in `extra`, for filtering and grouping results.
Columns of other names are found as `columns` says, or named by `?key=`, `?label=` and `?boxes=`.
The forms of boxes are described in `annotations.boxes.read_boxes`; in CSV, and in a string column of Parquet, they are
JSON. `?unit=fraction` and `?unit=percent` give the unit of their sides; `?four=xywh` says that four numbers are left,
top, width and height.

The order is that of the file: row n of the file is image n of the job. The file is read as a stream, one line (1 MiB at
most) or one batch of 100 Parquet rows (1 MiB at most per cell) at a time; the names of the columns are those of the
first 1,000 rows, or of the rows in the first 8 MiB. An invalid row, or a key that leads out of the root, is an error
that names file and line. Invalid boxes and missing photographs affect only their own row, never the job.
"""

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gfi.datasets.annotations.boxes import (
    SIDES,
    UNITS,
    ImageBoxes,
    Unit,
    in_frame,
    read_boxes,
    read_region,
    with_region,
)
from gfi.datasets.columns import Columns, find_columns, frame_of, names_of
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.labels import label_texts
from gfi.datasets.listing import Fetched, Listed, fetched, with_options
from gfi.datasets.media import local, web
from gfi.datasets.media.s3 import Reader, split
from gfi.datasets.notes import ListingNotes
from gfi.datasets.strict_json import plain, read_json
from gfi.store.errors import one_line
from gfi.store.settings import Settings

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
OPTIONS = {"root", "key", "label", "boxes", "region", "unit", "four", "columns"}
MISSING = "missing"
NO_FILE = "no such file"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LINE = 2**20
_ROWS_OF_NAMES = 1000
_BYTES_OF_NAMES = 8 * 2**20
_PARQUET_ROWS = 100
_NUMBER = 32
"""Bytes of a Python number, about."""

Row = tuple[str, Mapping[str, Any]]
"""The position of a row in the file, and its columns."""


class Table:
    """kind: `manifest`. place: a file or an S3 object. options: those in OPTIONS; `root` is the folder of relative
    keys."""

    kind = "manifest"

    def __init__(self, place: str, settings: Settings, options: Mapping[str, str] | None = None):
        options = options or {}
        self._settings = settings
        if place.startswith("s3://"):
            self._name = place
            self._path: Path | None = None
            base = place.rpartition("/")[0]
        else:
            roots = local.Roots.admit(place, settings.dataset_roots)
            if not roots.base.is_file():
                raise DatasetError(f"{place} is not a file")
            self._name, self._path = str(roots.base), roots.base
            base = str(roots.base.parent)
        base = options.get("root") or base
        self._base = base if base.startswith("s3://") else None
        self._roots = None if self._base else local.Roots.admit(base, settings.dataset_roots)
        shown = self._base or str(self._roots and self._roots.base)
        self._requested = {
            role: name for role, name in options.items() if role in ("key", "label", "boxes", "region")
        }
        kept = options.get("columns")
        self._kept = None if kept is None else [name.strip() for name in kept.split(",") if name.strip()]
        self._unit = cast(Unit | None, _choice(options, "unit", UNITS))
        self._four = cast(Literal["ltrb", "xywh"] | None, _choice(options, "four", ("ltrb", "xywh")))
        self.spec = with_options(f"manifest:{self._name}", **{**options, "root": shown})

    def describe(self) -> str:
        return f"manifest {self._name}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        rows = self._rows()
        first = _first(rows)
        if not first:
            raise DatasetError(f"{self._name} lists no images")
        columns = find_columns(list(names_of(row for _, row in first)), self._requested, notes, self._name)
        if self._kept is not None:
            names = {name for _, row in first for name in row}
            if missing := [name for name in self._kept if name not in names]:
                raise DatasetError(f"{self._name} has no column {missing[0]!r}, which `columns` names")
        for where, row in chain(first, rows):
            try:
                yield self._listed(row, columns, notes)
            except Unavailable:
                raise
            except DatasetError as error:
                raise DatasetError(f"{self._name} {where}: {error}") from error

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        place = self._place(key)
        if isinstance(place, str):
            # A row may have a photograph and its mask, and a worker reports progress after each row.
            whole_s = min(web.WHOLE_S, self._settings.stall_s / 3)
            return web.read(place, version, self._settings.dataset_hosts, whole_s=whole_s)
        if isinstance(place, Path):
            data, seen = local.read(place)
            return fetched(data, seen, version)
        bucket, name = place
        return bucket.read(name, version)

    def _normalised(self, key: str) -> str:
        """One key for the spellings of a path: ./a.png and a.png are one image. `..` stays, and is refused."""
        if key.startswith(("s3://", web.SCHEME)):
            return key
        if scheme := URL.match(key):
            raise DatasetError(
                f"the key {key[:200]!r} is not read: photographs are files, s3:// or https://, not {scheme[0]}"
            )
        if self._base is None:
            unusual = "//" in key or "/." in key or key.startswith("./") or key.endswith("/")
            return str(PurePosixPath(key)) if unusual else key
        while key.startswith("./"):  # other spellings name other objects of a bucket
            key = key.removeprefix("./")
        return key

    def _place(self, key: str) -> Path | tuple[Reader, str] | str:
        """A file, an object, or an address."""
        if key.startswith(web.SCHEME):
            web.check(key, self._settings.dataset_hosts)
            return key
        if self._base and not key.startswith("s3://"):
            key = f"{self._base.rstrip('/')}/{key}"
        if key.startswith("s3://"):
            bucket, name = split(key)
            if not name:
                raise DatasetError(f"{key!r} names no object")
            return Reader(bucket, self._settings), name
        assert self._roots is not None
        return self._roots.locate(key)

    def _listed(self, row: Mapping[str, Any], columns: Columns, notes: ListingNotes) -> Listed:
        values, extra = columns.split(row)
        key = values.get("key")
        if not isinstance(key, str) or not key:
            raise DatasetError("no key")
        key = self._normalised(key)
        size, version = 0, ""
        place = self._place(key)
        if isinstance(place, Path):
            size, version = _stat(place)
            if version == MISSING:
                notes.image(NO_FILE, repr(key))
            if columns.version is not None:
                extra[columns.version] = values.get("version")
        else:
            version = str(values.get("version") or "")
        frame = frame_of(extra)
        boxes = self._with_region(in_frame(self._boxes(values, columns), frame), values.get("region"), frame)
        if self._kept is not None:
            extra = {name: extra[name] for name in self._kept if name in extra}
        notes.boxes(boxes, key)
        label, labels = label_texts(values.get("label"), key, notes)
        return Listed(key, size, version, label, boxes.boxes, plain(extra), boxes.error, labels)

    def _boxes(self, values: Mapping[str, Any], columns: Columns) -> ImageBoxes:
        try:
            # A gap is NaN where a table keeps numbers.
            if any(side is not None and side == side for side in values.get("sides", ())):
                return read_boxes(dict(zip(SIDES, values["sides"], strict=True)), self._unit)
            value = values.get("boxes")
            if isinstance(value, str):
                value = read_json(value) if value.strip() else None
            return read_boxes(value, self._unit, self._four or (None if columns.unsure else "ltrb"))
        except ValueError as error:
            return ImageBoxes(error=f"boxes are not JSON: {error}")
        except DatasetError as error:
            return ImageBoxes(error=str(error))

    def _with_region(self, boxes: ImageBoxes, value: Any, frame: tuple[int, int] | None) -> ImageBoxes:
        """The boxes and the region of the image, which has the image's label. frame: as columns of the row say it."""
        try:
            region = read_region(value, self._mask, self._unit)
            return boxes if region is None else with_region(boxes, region, frame)
        except Unavailable:
            raise
        except DatasetError as error:
            return ImageBoxes(error=boxes.error or str(error))

    def _mask(self, key: str) -> tuple[str, str | None]:
        """The key of a mask image, and its version where listing it costs no request."""
        key = self._normalised(key)
        place = self._place(key)
        return key, _stat(place)[1] if isinstance(place, Path) else None

    def _rows(self) -> Iterator[Row]:
        read = {".csv": self._csv, ".parquet": self._parquet}.get(
            Path(self._name).suffix.lower(), self._jsonl
        )
        try:
            with self._open() as file:
                yield from read(file)
        except OSError as error:
            raise local.failure(error, self._name) from error

    def _open(self) -> IO[bytes]:
        if self._path:
            return self._path.open("rb")
        bucket, key = split(self._name)
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        Reader(bucket, self._settings).copy_to(key, copy)
        copy.seek(0)
        return copy

    def _csv(self, file: IO[bytes]) -> Iterator[Row]:
        reader = csv.reader(self._lines(file), strict=True, skipinitialspace=True)
        try:
            header = next((row for row in reader if not _blank(row)), [])
            _check_header(self._name, header)
            for row in reader:
                if _blank(row):
                    continue
                where = f"line {reader.line_num}"
                if len(row) != len(header):
                    raise DatasetError(f"{self._name} {where}: {len(row)} fields under {len(header)} columns")
                yield where, {name: value or None for name, value in zip(header, row, strict=True) if name}
        except csv.Error as error:
            where = f"{self._name} line {reader.line_num}"
            if "new-line character" in str(error):  # with advice for programmers
                raise DatasetError(
                    f"{where}: a lone carriage return; save the file with the line ends LF"
                ) from None
            raise DatasetError(f"{where}: {error}") from error

    def _jsonl(self, file: IO[bytes]) -> Iterator[Row]:
        for number, line in enumerate(self._lines(file), 1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except ValueError as error:
                raise DatasetError(f"{self._name} line {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{self._name} line {number}: not an object with a `key`")
            yield f"line {number}", row

    def _parquet(self, file: IO[bytes]) -> Iterator[Row]:
        number = 0
        try:
            table = _parquet_file(file)
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS, use_threads=False):
                self._check_cells(batch, number)
                for row in batch.to_pylist():
                    yield f"row {number}", row
                    number += 1
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # without a number pyarrow reports damage
                raise
            raise DatasetError(f"{self._name} is not a readable Parquet file: {one_line(error)}") from error

    def _check_cells(self, batch: pa.RecordBatch, number: int) -> None:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            longest = _longest(column, _LINE)
            if longest > _LINE:
                raise DatasetError(
                    f"{self._name}: column {name!r} has a value of {longest:,} bytes in the rows from {number}; "
                    f"the limit is {_LINE:,}"
                )

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        number = 0
        while line := file.readline(_LINE + 1):
            number += 1
            if len(line) > _LINE:
                raise DatasetError(f"{self._name} line {number} is longer than {_LINE:,} bytes")
            if b"\0" in line:
                raise DatasetError(f"{self._name} line {number} holds a NUL; is it UTF-16? Save it as UTF-8")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{self._name} line {number} is not UTF-8; save the file as UTF-8"
                ) from error


def _check_header(place: str, header: list[str]) -> None:
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise DatasetError(f"{place} has two columns with the same name: {', '.join(header[:12])}")
    other = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise DatasetError(f"{place} is separated by {other!r}; write it with commas")


def _blank(row: list[str]) -> bool:
    """An empty line, or one of commas alone, as spreadsheets leave them at the end."""
    return not any(field.strip() for field in row)


def _first(rows: Iterator[Row]) -> list[Row]:
    """The rows by which columns are found: not all of them where they are long."""
    first, size = [], 0
    for row in islice(rows, _ROWS_OF_NAMES):
        first.append(row)
        size += sum(len(value) if isinstance(value, str) else 8 for value in row[1].values())
        if size > _BYTES_OF_NAMES:
            break
    return first


def _parquet_file(file: IO[bytes]) -> pq.ParquetFile:
    """The file, whose texts stay dictionaries: one text that a million rows repeat is in memory once. A file of 49 kB
    took 846 MiB, a text of 80 kB for each of 10,000 rows."""
    leaves = pq.read_metadata(file).schema
    texts = [
        column.path
        for column in map(leaves.column, range(len(leaves)))
        if column.physical_type == "BYTE_ARRAY"
    ]
    file.seek(0)
    return pq.ParquetFile(file, read_dictionary=texts)


def _longest(column: pa.Array, limit: int) -> int:
    """The bytes of the longest value of a column, as Python holds them. Of a nested column, where all of its values
    together are below `limit`: of all."""
    if not len(column):
        return 0
    if not pa.types.is_nested(column.type):
        return _size(column.dictionary if isinstance(column, pa.DictionaryArray) else column, longest=True)
    size = _size(column)
    return size if size <= limit else max(_size(column.slice(row, 1)) for row in range(len(column)))


def _size(values: pa.Array, longest: bool = False) -> int:
    """An upper bound of the bytes of all values, or of the longest; a number counts as 32."""
    if isinstance(values, pa.ExtensionArray):
        return _size(values.storage, longest)
    if isinstance(values, pa.DictionaryArray):
        return len(values) * (_NUMBER + _size(values.dictionary, longest=True))
    if pa.types.is_struct(values.type):
        return _NUMBER * len(values) + sum(_size(field) for field in values.flatten())
    if pa.types.is_nested(values.type):
        return _NUMBER * len(values) + _size(values.flatten())
    if _is_text(values.type):
        lengths = pc.binary_length(values)
        return int((pc.max if longest else pc.sum)(lengths).as_py() or 0)
    return _NUMBER if longest else _NUMBER * len(values)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_string(kind)
        or types.is_large_binary(kind)
        or types.is_large_string(kind)
    )


def _stat(path: Path) -> tuple[int, str]:
    try:
        status = path.stat()
    except OSError as error:
        failure = local.failure(error, path)
        if type(failure) is DatasetError:
            return 0, MISSING
        raise failure from error
    return status.st_size, local.version_of(status)


def _choice(options: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = options.get(name)
    if value is not None and value not in known:
        raise DatasetError(f"the option {name} is one of {', '.join(known)}, not {value[:40]!r}")
    return value
