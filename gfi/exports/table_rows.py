"""Results as rows of a table: CSV, JSON lines, Parquet. The columns are those of `Item.row`."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gfi.domain.metrics import METRIC_COLUMNS
from gfi.exports.export import Export, Item
from gfi.exports.keys import safe_cell
from gfi.exports.pieces import Files, Kept, Sink, json_line

ROWS = "rows"
_INTEGERS = ("row", "target_rank", "target", "prediction", "iterations")
_NUMBERS = ("probability", "kept", "removed", "area", *(column.name for column in METRIC_COLUMNS))


def csv_piece(export: Export, items: Sequence[Item]) -> Files:
    """The lines of these results, without the heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for item in items:
        writer.writerow([safe_cell(_finite(value)) for value in item.row().values()])
    yield ROWS, out.getvalue().encode()


def csv_whole(export: Export, kept: Kept, sink: Sink) -> None:
    """The heading and all lines. Texts that a spreadsheet would read as a formula have an apostrophe in front."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(map(safe_cell, schema(export).names))
    with sink.open("results.csv") as file:
        file.write(out.getvalue().encode())
        for data in kept.named(ROWS):
            file.write(data)


def jsonl_piece(export: Export, items: Sequence[Item]) -> Files:
    """A JSON object on each line: the result as the API returns it, with `provenance`."""
    yield ROWS, b"".join(_line(export, item) for item in items)


def jsonl_whole(export: Export, kept: Kept, sink: Sink) -> None:
    """All lines."""
    with sink.open("results.jsonl") as file:
        for data in kept.named(ROWS):
            file.write(data)


def _line(export: Export, item: Item) -> bytes:
    return json_line(item.result.to_json(export.job.class_names) | {"provenance": export.provenance})


def schema(export: Export) -> pa.Schema:
    """The columns of a table of results with their types."""
    fields = []
    for name in _names(export):
        kind = export.kinds.get(name.removeprefix("column.")) if name.startswith("column.") else None
        if name in _INTEGERS:
            fields.append(pa.field(name, pa.int64()))
        elif name in _NUMBERS or kind == "number":
            fields.append(pa.field(name, pa.float64()))
        else:
            fields.append(pa.field(name, pa.string()))
    return pa.schema(fields)


def parquet_piece(export: Export, items: Sequence[Item]) -> Files:
    """A Parquet file of these results."""
    rows = [{name: _text(value) for name, value in item.row().items()} for item in items]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema(export)), out)
    yield f"{ROWS}.parquet", out.getvalue()


def parquet_whole(export: Export, kept: Kept, sink: Sink) -> None:
    """One file; what made the masks is in its metadata under `gfi`."""
    described = schema(export).with_metadata({"gfi": json.dumps(export.origin())})
    with sink.open("results.parquet") as file, pq.ParquetWriter(file, described, compression="zstd") as out:
        for data in kept.named(f"{ROWS}.parquet"):
            out.write_table(pq.read_table(pa.BufferReader(data)).replace_schema_metadata(described.metadata))


def _names(export: Export) -> Iterator[str]:
    from gfi.domain.result import Result
    from gfi.domain.statuses import ImageStatus

    yield from Item(export, Result(0, "", ImageStatus.OK), None).row()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else _finite(value)
