"""Parts: the Parquet file with the results of one shard and with everything that produced them.

A part has a row per image, method and class. It stores the mask as a float32 grid (h, w), already scaled: some hundred
bytes, where the mask at the size of the input has two hundred thousand. `Part.mask` draws the grid as U_h · m · U_wᵀ
with the same matrices as the optimiser, so that the drawn mask equals the optimiser's to 1e-6. The header names job,
shard and fence, the digests of model and method, recipe, layers, execution profile and code version. So a part can be
read without the database, and the database can be rebuilt from parts.

A part is read with the SHA-256 that the ledger recorded at its commit; a file with another SHA-256 is refused.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gfi.domain.digests import JSON, canonical
from gfi.domain.interpolation import draw
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.store.errors import StoreError

SCHEMA_VERSION = 1
_META = b"gfi.part"

_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("method", pa.string()),
        ("target_rank", pa.int32()),
        ("key", pa.string()),
        ("version", pa.string()),
        ("label", pa.string()),
        ("target", pa.int32()),
        ("prediction", pa.int32()),
        ("probability", pa.float64()),
        ("kept", pa.float64()),
        ("removed", pa.float64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("error_class", pa.string()),
        ("iterations", pa.int32()),
        ("area", pa.float64()),
        ("original_height", pa.int32()),
        ("original_width", pa.int32()),
        ("box", pa.list_(pa.float64(), 4)),
        ("grid", pa.binary()),
        ("grid_height", pa.int32()),
        ("grid_width", pa.int32()),
        ("metrics", pa.string()),
    ]
)


@dataclass(frozen=True)
class PartHeader:
    """What produced the part, and how its grids are drawn."""

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
class PartRow:
    """The result of one image. Probabilities in [0, 1]; `grid` (h, w) in [0, 1], None where there is no mask."""

    row: int
    key: str
    status: ImageStatus
    method: str = PRIMARY_METHOD
    target_rank: int = 0
    version: str | None = None
    label: str | None = None
    target: int | None = None
    prediction: int | None = None
    probability: float | None = None
    kept: float | None = None
    removed: float | None = None
    grid: NDArray[np.float32] | None = field(default=None, repr=False)
    iterations: int | None = None
    error: str | None = None
    error_class: str | None = None
    original_size: tuple[int, int] | None = None  # (H, W) after EXIF orientation
    box: tuple[float, float, float, float] | None = None  # left, top, right, bottom of what the network sees
    area: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PartFile:
    """A part, ready to be uploaded."""

    data: bytes = field(repr=False)
    sha256: str
    rows: int


class Part:
    """A part that was read and verified."""

    def __init__(self, header: PartHeader, table: pa.Table) -> None:
        self.header = header
        self._table = table

    def __len__(self) -> int:
        return self._table.num_rows

    def row(self, index: int) -> PartRow:
        """The `index`-th row of the file (a result's `part_row`)."""
        if not 0 <= index < len(self):
            raise StoreError(
                f"the part of shard {self.header.shard_id} has {len(self)} rows, not row {index}"
            )
        values = {name: column[0] for name, column in self._table.slice(index, 1).to_pydict().items()}
        grid, height, width = (values.pop(name) for name in ("grid", "grid_height", "grid_width"))
        size = (values.pop("original_height"), values.pop("original_width"))
        box = values.pop("box")
        return PartRow(
            **values
            | {
                "status": ImageStatus(values["status"]),
                "metrics": json.loads(values["metrics"]),
                "grid": None if grid is None else np.frombuffer(grid, "<f4").reshape(height, width),
                "original_size": None if size[0] is None else size,
                "box": None if box is None else tuple(box),
            }
        )

    def rows(self) -> list[PartRow]:
        """Every row, in file order."""
        return [self.row(index) for index in range(len(self))]

    def mask(self, index: int) -> NDArray[np.float32] | None:
        """The mask (H, W) of a row at the network's input size, in [0, 1]; None where there is none."""
        grid = self.row(index).grid
        if grid is None:
            return None
        return draw(grid, self.header.input_size, self.header.align_corners)


def write(header: PartHeader, rows: Sequence[PartRow]) -> PartFile:
    """Pack rows into a file. A result refers to its row by the position in `rows` (`part_row`)."""
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for row in rows:
        grid = None if row.grid is None else np.ascontiguousarray(row.grid, "<f4")
        if grid is not None and (grid.ndim != 2 or not np.isfinite(grid).all()):
            raise ValueError(f"the grid of row {row.row} is not a finite (h, w) array")
        values = {name: getattr(row, name) for name in _SCHEMA.names if hasattr(row, name)}
        height, width = row.original_size or (None, None)
        values |= {
            "status": row.status.value,
            "grid": None if grid is None else grid.tobytes(),
            "grid_height": None if grid is None else grid.shape[0],
            "grid_width": None if grid is None else grid.shape[1],
            "original_height": height,
            "original_width": width,
            "metrics": json.dumps(dict(row.metrics), sort_keys=True),
        }
        for name, column in columns.items():
            column.append(values[name])
    meta = {_META: canonical(header.to_json()).encode()}
    table = pa.table(columns, schema=_SCHEMA.with_metadata(meta))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    data = sink.getvalue().to_pybytes()
    return PartFile(data, sha256(data), len(rows))


def read(data: bytes, expect_sha256: str | None) -> Part:
    """Unpack a part.

    expect_sha256: what the ledger recorded; None checks nothing, for rebuilding. Raises StoreError when the file has
    another SHA-256, is no part, or was written by a later version of gfi.
    """
    actual = sha256(data)
    if expect_sha256 is not None and actual != expect_sha256:
        raise StoreError(f"a part has SHA-256 {actual[:12]}…, the ledger recorded {expect_sha256[:12]}…")
    try:
        table = pq.read_table(pa.BufferReader(data))
        header = json.loads(table.schema.metadata[_META])
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"this is not a part: {error}") from None
    if header["schema_version"] > SCHEMA_VERSION:
        raise StoreError(
            f"the part of shard {header['shard_id']} has format {header['schema_version']}, "
            f"this version reads up to {SCHEMA_VERSION}; upgrade gfi"
        )
    return Part(PartHeader.from_json(header), table)


def sha256(data: bytes) -> str:
    """The SHA-256 as hex digits, as the ledger records it."""
    return hashlib.sha256(data).hexdigest()


def part_key(job_id: str, shard_id: str, fence: int) -> str:
    """A key that no other upload has, so that a worker which has lost its lease overwrites nothing."""
    return f"parts/{job_id}/{shard_id}/{fence}-{uuid.uuid4().hex}.parquet"


def parse_part_key(key: str) -> tuple[str, str, int] | None:
    """(job, shard, fence) of a part's key; None when it is not one."""
    pieces = key.split("/")
    if len(pieces) != 4 or pieces[0] != "parts" or not pieces[3].endswith(".parquet"):
        return None
    fence = pieces[3].partition("-")[0]
    return (pieces[1], pieces[2], int(fence)) if fence.isdigit() else None
