"""Parts: the Parquet file with the results of one shard and with everything that produced them.

A part has a row per image, method and class: a `Result`. It stores the mask as a float32 grid (h, w), already scaled:
some hundred bytes, compared with two hundred thousand for the mask at the size of the input. `Explained.mask` draws the
grid as U_h · m · U_wᵀ with the same matrices as the optimiser, so that the drawn mask equals the optimiser's to 1e-6.

The header names job, shard and fence, the digests of model and method, recipe, layers, execution profile and code
version. So a part can be read without the database, and the database can be rebuilt from parts.

A part is read with the SHA-256 that the ledger recorded at its commit; a file with another SHA-256 is refused. Columns
are decoded when they are asked for: `Part.take` of a number decodes no grid and no thumbnail.

Format 1 (version 0.1.0) has no columns `pixel_…`, `thumbnail` and `features`; it is read, with nothing in them. All
columns and their sizes are in docs/parts.md.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gfi.domain import projection
from gfi.domain.digests import JSON, canonical
from gfi.domain.geometry import draw
from gfi.domain.job import Features
from gfi.domain.pixel_properties import PROPERTIES
from gfi.domain.result import PART_COLUMNS, Result
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow
from gfi.store.errors import StoreError

SCHEMA_VERSION = 2
_META = b"gfi.part"
_NOTES = b"gfi.notes"
"""The key of the metadata that says, by row of the file, what was done to photographs and boxes, and holds the further
columns of the manifest. In metadata, because most rows have none."""
_NOTED = ("window", "sentences", "columns")
"""The kinds of columns that are stored there."""

_TYPES: Mapping[str, pa.DataType] = {
    "integer": pa.int32(),
    "number": pa.float64(),
    "text": pa.string(),
    "status": pa.string(),
    "metrics": pa.string(),
    "box": pa.list_(pa.float64(), 4),
    "picture": pa.binary(),
    "vector": pa.binary(),
}
"""The Arrow type of each kind of column that is stored in one column of its name."""


def pixel_column(name: str) -> str:
    """The column of a property of `gfi.domain.pixel_properties`."""
    return f"pixel_{name}"


def _fields() -> Iterator[tuple[str, pa.DataType]]:
    """The columns of a part, made from those of a result."""
    for column in PART_COLUMNS:
        if column.kind == "size":
            prefix = column.name.removesuffix("_size")
            yield from ((f"{prefix}_{side}", pa.int32()) for side in ("height", "width"))
        elif column.kind == "grid":
            yield column.name, pa.binary()
            yield from ((f"{column.name}_{side}", pa.int32()) for side in ("height", "width"))
        elif column.kind == "properties":
            yield from ((pixel_column(name), pa.float32()) for name in PROPERTIES)
        elif column.kind not in _NOTED:
            yield column.name, pa.int64() if column.name == "row" else _TYPES[column.kind]


_SCHEMA = pa.schema(list(_fields()))
_COMPRESSION = {name: "none" if name == "thumbnail" else "zstd" for name in _SCHEMA.names}
"""A JPEG does not become smaller."""


@dataclass(frozen=True)
class PartHeader:
    """What produced the part, and how its grids are drawn.

    features: of what the column `features` is made, as `gfi.store.parts.features_header` says; None where it is empty.
    """

    job_id: str
    shard_id: str
    fence: int
    model_digest: str
    method_digest: str
    recipe: JSON
    layers: JSON
    profile: JSON
    align_corners: bool
    input_size: tuple[int, int]  # (H, W) of the network's input: the size masks are drawn at
    code_version: str
    model_reference: str = ""
    manifest_key: str = ""
    nondeterministic: str | None = None
    """Why the model's answer for an image depends on chance or on the other images, where registration allowed that."""
    features: JSON | None = None
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> JSON:
        """The header as the metadata of the file."""
        return asdict(self) | {"input_size": list(self.input_size)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PartHeader":
        """The header from the metadata of the file; fields that a later version added are ignored."""
        known = {name: value[name] for name in (f.name for f in fields(cls)) if name in value}
        return cls(**known | {"input_size": tuple(value["input_size"])})


@dataclass(frozen=True)
class PartFile:
    """A part, ready to be uploaded."""

    data: bytes = field(repr=False)
    sha256: str
    rows: int


class Explained:
    """A row of a part, decoded once: its result, and its mask at the network's input size."""

    def __init__(self, result: Result, header: PartHeader) -> None:
        self.result = result
        self.header = header

    @cached_property
    def mask(self) -> NDArray[np.float32] | None:
        """(H, W) in [0, 1], as the optimiser left it; None where there is none."""
        if self.result.grid is None:
            return None
        return draw(self.result.grid, self.header.input_size, self.header.align_corners)


class Part:
    """A part that was read and verified. Thread-safe."""

    def __init__(
        self, header: PartHeader, data: pa.Buffer, rows: int, names: Sequence[str], notes: JSON
    ) -> None:
        self.header = header
        self._data = data
        self._rows = rows
        self._stored = frozenset(names)
        self._notes = notes
        self._columns: dict[str, pa.ChunkedArray] = {}
        """The columns that were decoded."""

    def __len__(self) -> int:
        return self._rows

    def explanation(self, index: int) -> Explained:
        """The `index`-th row of the file (a result's `part_row`)."""
        if not 0 <= index < len(self):
            raise StoreError(
                f"the part of shard {self.header.shard_id} has {len(self)} rows, not row {index}"
            )
        (values,) = self._table(_SCHEMA.names).slice(index, 1).to_pylist()
        return Explained(_decoded(values, self._notes.get(str(index), {})), self.header)

    def take(self, rows: NDArray[np.integer], names: Sequence[str]) -> pa.Table:
        """These columns of these rows as stored in the file, for reading many masks. No other column is decoded.

        A column that the part's format does not have is null.
        """
        return self._table(names).take(rows)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """These columns of all rows, in file order; as `take`."""
        return self._table(names)

    def results(self) -> list[Result]:
        """Every row, in file order."""
        rows = enumerate(self._table(_SCHEMA.names).to_pylist())
        return [_decoded(values, self._notes.get(str(place), {})) for place, values in rows]

    def _table(self, names: Sequence[str]) -> pa.Table:
        if missing := [name for name in names if name not in self._columns and name in self._stored]:
            try:
                read = pq.read_table(pa.BufferReader(self._data), columns=missing, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise StoreError(f"the part of shard {self.header.shard_id} is damaged: {error}") from None
            self._columns |= {name: read.column(name) for name in missing}
        return pa.table(
            {
                name: self._columns[name]
                if name in self._stored
                else pa.chunked_array([pa.nulls(self._rows, _SCHEMA.field(name).type)])
                for name in names
            }
        )


def features_header(layer: str, width: int, kept: Features) -> JSON:
    """`PartHeader.features`, for features (width,) at the input of `layer`.

    `values`: how many numbers a row has, float16. `seed` and `digest` of the projection (`gfi.domain.projection`), if
    they are projected.
    """
    if kept == "full":
        return {"layer": layer, "width": width, "kept": kept, "values": width}
    seed, size, digest = projection.SEED, projection.SIZE, projection.digest(width)
    return {"layer": layer, "width": width, "kept": kept, "values": size, "seed": seed, "digest": digest}


def write(header: PartHeader, rows: Sequence[Result]) -> PartFile:
    """Pack results into a file. The ledger refers to each by its position in `rows` (`part_row`)."""
    notes = {str(place): noted for place, row in enumerate(rows) if (noted := _noted(row))}
    meta = {_META: canonical(header.to_json()).encode()}
    if notes:
        meta[_NOTES] = canonical(notes).encode()
    table = pa.Table.from_pylist([_encoded(row) for row in rows], _SCHEMA.with_metadata(meta))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=_COMPRESSION, use_dictionary=False, write_statistics=False)
    data = sink.getvalue().to_pybytes()
    return PartFile(data, sha256(data), len(rows))


def _noted(result: Result) -> JSON:
    """What a result says about its photograph and boxes, and the manifest's further columns; empty entries are left
    out."""
    noted: JSON = {"window": asdict(result.window)} if result.window else {}
    noted |= {"columns": dict(result.columns)} if result.columns else {}
    return noted | ({"repairs": list(result.repairs)} if result.repairs else {})


def _encoded(result: Result) -> dict[str, Any]:
    """A result as a row of the file."""
    values: dict[str, Any] = {}
    for column in PART_COLUMNS:
        if column.kind in _NOTED:
            continue
        name, value = column.name, getattr(result, column.name)
        if column.kind == "size":
            prefix = name.removesuffix("_size")
            values[f"{prefix}_height"], values[f"{prefix}_width"] = value or (None, None)
        elif column.kind == "grid":
            grid = None if value is None else np.ascontiguousarray(value, "<f4")
            if grid is not None and (grid.ndim != 2 or not np.isfinite(grid).all()):
                raise ValueError(f"the grid of row {result.row} is not a finite (h, w) array")
            values[name] = None if grid is None else grid.tobytes()
            values[f"{name}_height"], values[f"{name}_width"] = (None, None) if grid is None else grid.shape
        elif column.kind == "metrics":
            values[name] = json.dumps(dict(value), sort_keys=True)
        elif column.kind == "properties":
            values |= {pixel_column(one): value.get(one) for one in PROPERTIES}
        elif column.kind == "vector":
            values[name] = None if value is None else np.ascontiguousarray(value, "<f2").tobytes()
        else:
            values[name] = value.value if column.kind == "status" else value
    return values


def _decoded(values: Mapping[str, Any], notes: Mapping[str, Any]) -> Result:
    """A row of the file, with its notes, as a result; columns that a later version added are ignored."""
    window, repairs = notes.get("window"), notes.get("repairs", ())
    found: dict[str, Any] = {
        "window": None if window is None else AppliedWindow(**window),
        "repairs": tuple(repairs),
        "columns": notes.get("columns", {}),
    }
    for column in PART_COLUMNS:
        name = column.name
        if column.kind in _NOTED:
            continue
        if column.kind == "size":
            prefix = name.removesuffix("_size")
            size = values[f"{prefix}_height"], values[f"{prefix}_width"]
            found[name] = None if size[0] is None else size
        elif column.kind == "grid":
            shape = values[f"{name}_height"], values[f"{name}_width"]
            found[name] = None if values[name] is None else np.frombuffer(values[name], "<f4").reshape(shape)
        elif column.kind == "metrics":
            found[name] = json.loads(values[name])
        elif column.kind == "properties":
            stored = {one: values[pixel_column(one)] for one in PROPERTIES}
            found[name] = {one: value for one, value in stored.items() if value is not None}
        elif column.kind == "vector":
            found[name] = None if values[name] is None else np.frombuffer(values[name], "<f2")
        elif column.kind == "status":
            found[name] = ImageStatus(values[name])
        elif column.kind == "box":
            found[name] = None if values[name] is None else tuple(values[name])
        else:
            found[name] = values[name]
    return Result(**found)


def read(data: bytes, expect_sha256: str | None) -> Part:
    """Unpack a part.

    expect_sha256: the SHA-256 that the ledger recorded; None skips the check, for rebuilding. Raises StoreError when
    the file has another SHA-256, is not a part, or was written by a later version of gfi.
    """
    actual = sha256(data)
    if expect_sha256 is not None and actual != expect_sha256:
        raise StoreError(f"a part has SHA-256 {actual[:12]}…, the ledger recorded {expect_sha256[:12]}…")
    try:
        buffer = pa.py_buffer(data)
        file = pq.ParquetFile(pa.BufferReader(buffer))
        metadata = file.schema_arrow.metadata
        header = json.loads(metadata[_META])
        notes = json.loads(metadata.get(_NOTES, b"{}"))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"this is not a part: {error}") from None
    if header["schema_version"] > SCHEMA_VERSION:
        raise StoreError(
            f"the part of shard {header['shard_id']} has format {header['schema_version']}, "
            f"this version reads up to {SCHEMA_VERSION}; upgrade gfi"
        )
    rows = file.metadata.num_rows
    return Part(PartHeader.from_json(header), buffer, rows, file.schema_arrow.names, notes)


def sha256(data: bytes) -> str:
    """The SHA-256 as hex digits, as the ledger records it."""
    return hashlib.sha256(data).hexdigest()


def part_key(job_id: str, shard_id: str, fence: int) -> str:
    """A key that no other upload has, so that a worker that has lost its lease overwrites nothing."""
    return f"parts/{job_id}/{shard_id}/{fence}-{uuid.uuid4().hex}.parquet"


def parse_part_key(key: str) -> tuple[str, str, int] | None:
    """(job, shard, fence) of a part's key; None when it is not one."""
    pieces = key.split("/")
    if len(pieces) != 4 or pieces[0] != "parts" or not pieces[3].endswith(".parquet"):
        return None
    fence = pieces[3].partition("-")[0]
    return (pieces[1], pieces[2], int(fence)) if fence.isdigit() else None
