"""Parts: written parts are read back, damaged parts are refused, masks are drawn as in the optimiser."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gfi.domain.geometry import draw
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow
from gfi.store import parts
from gfi.store.errors import StoreError
from gfi.store.parts import PartHeader

HEADER = PartHeader(
    job_id="job",
    shard_id="job-0",
    fence=3,
    model_digest="m" * 64,
    method_digest="r" * 64,
    recipe={"name": "paper", "gamma": 10.0},
    layers={"inverted": "features.36", "weighed": ["features.35:relu"]},
    profile={"batch": 8, "device_kind": "cpu"},
    align_corners=False,
    input_size=(64, 48),
    code_version="0.1.0",
)

numbers_of_files = st.floats(-70000, 70000)
numbers = st.none() | st.floats(0, 1)
rows = st.builds(
    Result,
    row=st.integers(0, 10**9),
    key=st.text(max_size=20),
    status=st.sampled_from(ImageStatus),
    target_rank=st.integers(0, 4),
    version=st.none() | st.text(max_size=8),
    label=st.none() | st.text(max_size=8),
    target=st.none() | st.integers(0, 999),
    probability=numbers,
    kept=numbers,
    grid=st.none()
    | arrays.arrays(
        np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(0, 1, width=32)
    ),
    iterations=st.none() | st.integers(0, 80),
    error=st.none() | st.text(max_size=30),
    original_size=st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    box=st.none() | st.tuples(*[st.floats(-10, 9999)] * 4),
    window=st.none() | st.builds(AppliedWindow, numbers_of_files, numbers_of_files, st.text(max_size=9)),
    repairs=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    metrics=st.dictionaries(st.sampled_from(["deletion", "insertion"]), st.floats(0, 1)),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, max_size=5))
def test_what_is_written_is_read(wanted: list[Result]) -> None:
    file = parts.write(HEADER, wanted)
    part = parts.read(file.data, file.sha256)
    assert part.header == HEADER
    assert len(part) == file.rows == len(wanted)
    for read_row, row in zip(part.results(), wanted, strict=True):
        for name in Result.__dataclass_fields__:
            if name != "grid":
                assert getattr(read_row, name) == getattr(row, name)
        assert (read_row.grid is None) == (row.grid is None)
        if row.grid is not None:
            assert read_row.grid is not None
            np.testing.assert_array_equal(read_row.grid, row.grid)


def test_a_mask_is_drawn_with_the_optimisers_matrices() -> None:
    grid = np.random.default_rng(0).random((14, 14), dtype=np.float32)
    file = parts.write(HEADER, [_row(grid), _row(None)])
    part = parts.read(file.data, file.sha256)
    mask = part.explanation(0).mask
    assert mask is not None
    np.testing.assert_array_equal(mask, draw(grid, (64, 48), False))
    assert part.explanation(1).mask is None


def test_a_part_with_notes_has_the_columns_that_version_0_1_0_reads_and_no_others() -> None:
    """That version passes every column to its row class, and fails on an unknown column."""
    noted = replace(_row(None), window=AppliedWindow(0, 1023, "10 bits"), repairs=("cut",))
    file = parts.write(HEADER, [_row(None), noted])
    columns = pq.read_schema(pa.BufferReader(file.data)).names
    assert columns == [
        *("row", "key", "status", "method", "target_rank", "version", "label", "target", "prediction"),
        *("probability", "kept", "removed", "error", "error_class", "iterations", "area"),
        *("original_height", "original_width", "box", "grid", "grid_height", "grid_width", "metrics"),
    ]
    part = parts.read(file.data, file.sha256)
    assert [part.explanation(place).result for place in range(2)] == part.results() == [_row(None), noted]


def test_a_column_of_a_later_version_is_passed_over() -> None:
    table = pq.read_table(pa.BufferReader(parts.write(HEADER, [_row(None)]).data))
    sink = pa.BufferOutputStream()
    pq.write_table(table.append_column("mood", [["blue"]]), sink)
    assert parts.read(sink.getvalue().to_pybytes(), None).results() == [_row(None)]


def test_every_damaged_byte_is_noticed() -> None:
    file = parts.write(HEADER, [_row(np.ones((2, 2), np.float32))])
    for place in range(0, len(file.data), 97):
        damaged = bytearray(file.data)
        damaged[place] ^= 1
        with pytest.raises(StoreError, match="SHA-256"):
            parts.read(bytes(damaged), file.sha256)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not a part at all"])
def test_what_is_no_part_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(StoreError, match="not a part") as caught:
        parts.read(data, None)
    assert "\n" not in str(caught.value)


def test_a_table_of_something_else_is_no_part() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(StoreError, match="not a part"):
        parts.read(sink.getvalue().to_pybytes(), None)


def test_a_part_of_a_later_version_asks_for_an_upgrade() -> None:
    later = PartHeader.from_json(HEADER.to_json() | {"schema_version": 99, "something_new": 1})
    file = parts.write(later, [])
    with pytest.raises(StoreError, match="upgrade gfi"):
        parts.read(file.data, file.sha256)


@pytest.mark.parametrize("grid", [np.full((2, 2), np.nan, np.float32), np.ones(4, np.float32)])
def test_a_grid_that_is_no_mask_is_not_written(grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        parts.write(HEADER, [_row(grid)])


def test_a_row_that_is_not_there_is_an_error() -> None:
    part = parts.read(parts.write(HEADER, []).data, None)
    with pytest.raises(StoreError, match="has 0 rows"):
        part.explanation(0)


def test_the_file_explains_itself_without_this_program() -> None:
    file = parts.write(HEADER, [_row(None)])
    header = json.loads(pq.read_schema(pa.BufferReader(file.data)).metadata[b"gfi.part"])
    assert header["model_digest"] == "m" * 64
    assert header["profile"]["batch"] == 8


def test_keys_never_repeat_and_name_their_claim() -> None:
    first, second = (parts.part_key("job", "job-40", 7) for _ in range(2))
    assert first != second
    assert parts.parse_part_key(first) == ("job", "job-40", 7)
    for other in ("jobs/x/manifest.parquet", "parts/a/b/c.parquet", "parts/a/b/1-c.txt", "parts/a/b"):
        assert parts.parse_part_key(other) is None


def _row(grid: np.ndarray | None) -> Result:
    return Result(row=0, key="a.jpg", status=ImageStatus.OK, grid=grid)
