"""A manifest file: the images one by one, with what is known of them. CSV, JSONL or Parquet.

    key,label,boxes,camera
    day1/0001.jpg,n02124075,"[[12, 30, 220, 180]]",north
    s3://bucket/day2/0002.jpg,,,south

`key` is required: a path relative to the manifest's own folder (or to `?root=`), or s3://bucket/key.
`label`, `boxes` and `version` (the expected ETag of an S3 object) are optional; every other column is kept
in `extra`, for grouping results. Boxes are [left, top, right, bottom] or objects with these four, `label`
and `difficult`; in CSV, and in a string column of Parquet, as JSON.

The order is the file's: row n of the file is image n of the job. Reading streams, one line (1 MiB at most)
or one batch of 10,000 Parquet rows at a time. A row that is not what it should be is an error that names
file and line, and so is a key that leads out of the root. A file that is missing is listed nevertheless:
it costs its own row an error, never the job.
"""

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import Fetched, Listed, fetched
from gfi.datasets.media import local
from gfi.datasets.media.s3 import Reader, split
from gfi.store.errors import one_line
from gfi.store.settings import Settings

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
MISSING = "missing"
_LINE = 2**20


class Table:
    """kind: `manifest`. place: a file or an S3 object. root: where relative keys start."""

    kind = "manifest"

    def __init__(self, place: str, settings: Settings, root: str | None = None):
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
        base = root or base
        self._base = base if base.startswith("s3://") else None
        self._roots = None if self._base else local.Roots.admit(base, settings.dataset_roots)
        shown = self._base or str(self._roots and self._roots.base)
        self.spec = f"manifest:{self._name}?root={quote(shown, safe='/:')}"

    def describe(self) -> str:
        return f"manifest {self._name}"

    def list(self) -> Iterator[Listed]:
        empty = True
        for where, row in self._rows():
            empty = False
            try:
                yield self._listed(row)
            except Unavailable:
                raise
            except DatasetError as error:
                raise DatasetError(f"{self._name} {where}: {error}") from error
        if empty:
            raise DatasetError(f"{self._name} lists no images")

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        place = self._place(key)
        if isinstance(place, Path):
            data, seen = local.read(place)
            return fetched(data, seen, version)
        bucket, name = place
        return bucket.read(name, version)

    def _place(self, key: str) -> Path | tuple[Reader, str]:
        if self._base and not key.startswith("s3://"):
            key = f"{self._base.rstrip('/')}/{key}"
        if key.startswith("s3://"):
            bucket, name = split(key)
            if not name:
                raise DatasetError(f"{key!r} names no object")
            return Reader(bucket, self._settings), name
        assert self._roots is not None
        return self._roots.locate(key)

    def _listed(self, row: Mapping[str, Any]) -> Listed:
        extra = dict(row)
        key, label, boxes = extra.pop("key", None), extra.pop("label", None), extra.pop("boxes", None)
        if not isinstance(key, str) or not key:
            raise DatasetError("no key")
        if label is not None and not isinstance(label, str | int):
            raise DatasetError(f"the label {str(label)[:100]!r} is neither text nor a number")
        label = str(label).strip() or None if label is not None else None
        size, version = 0, ""
        place = self._place(key)
        if isinstance(place, Path):
            size, version = _stat(place)
        else:
            version = str(extra.pop("version", None) or "")
        return Listed(key, size, version, label, _boxes(boxes), _plain(extra))

    # --- the three formats: (where, row) ---------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
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

    def _csv(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        reader = csv.reader(self._lines(file), strict=True)
        try:
            header = next(reader, [])
            if "key" not in header:
                raise DatasetError(f"{self._name} has no column `key`; its columns are {_some(header)}")
            if len(set(header)) < len(header):
                raise DatasetError(f"{self._name} has two columns of one name: {_some(header)}")
            for row in reader:
                if not row:
                    continue
                where = f"line {reader.line_num}"
                if len(row) != len(header):
                    raise DatasetError(f"{self._name} {where}: {len(row)} fields under {len(header)} columns")
                yield where, {name: value for name, value in zip(header, row, strict=True) if value}
        except csv.Error as error:
            raise DatasetError(f"{self._name} line {reader.line_num}: {error}") from error

    def _jsonl(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, line in enumerate(self._lines(file), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"{self._name} line {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{self._name} line {number}: not an object with a `key`")
            yield f"line {number}", row

    def _parquet(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        number = 0
        try:
            table = pq.ParquetFile(file)
            if "key" not in table.schema_arrow.names:
                raise DatasetError(
                    f"{self._name} has no column `key`; its columns are {_some(table.schema_arrow.names)}"
                )
            for batch in table.iter_batches(batch_size=10_000, use_threads=False):
                for row in batch.to_pylist():
                    yield f"row {number}", row
                    number += 1
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # without a number it is pyarrow's word for damage
                raise
            raise DatasetError(f"{self._name} is not a readable Parquet file: {one_line(error)}") from error

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        number = 0
        while line := file.readline(_LINE + 1):
            number += 1
            if len(line) > _LINE:
                raise DatasetError(f"{self._name} line {number} is longer than {_LINE:,} bytes")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(f"{self._name} line {number} is not UTF-8") from error


def _stat(path: Path) -> tuple[int, str]:
    try:
        status = path.stat()
    except OSError as error:
        failure = local.failure(error, path)
        if type(failure) is DatasetError:
            return 0, MISSING
        raise failure from error
    return status.st_size, local.version_of(status)


def _boxes(value: Any) -> tuple[Box, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"boxes are not JSON: {error}") from error
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DatasetError("boxes are not a list")
    return tuple(map(Box.from_json, value))


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON can say: dates and decimals of Parquet become text. Empty columns are left out."""
    kept = {str(name): value for name, value in extra.items() if value is not None}
    text = json.dumps(kept, default=str)
    if "\\u0000" in text:  # which PostgreSQL cannot store
        raise DatasetError("a column holds a NUL")
    return json.loads(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _some(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:12]) or "none"
