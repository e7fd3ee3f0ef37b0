"""Parts: written parts are read back, damaged parts are refused, masks are drawn as in the optimiser."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gfi.domain.geometry import draw
from gfi.domain.pixel_properties import PROPERTIES
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
    pixels=st.dictionaries(st.sampled_from(list(PROPERTIES)), st.floats(-1, 100, width=32)),
    thumbnail=st.none() | st.binary(max_size=9),
    features=st.none() | arrays.arrays(np.float16, 4, elements=st.floats(-9, 9, width=16)),
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
            if name not in ("grid", "features"):
                assert getattr(read_row, name) == getattr(row, name)
        np.testing.assert_array_equal(read_row.grid, row.grid)
        np.testing.assert_array_equal(read_row.features, row.features)


def test_a_mask_is_drawn_with_the_optimisers_matrices() -> None:
    grid = np.random.default_rng(0).random((14, 14), dtype=np.float32)
    file = parts.write(HEADER, [_row(grid), _row(None)])
    part = parts.read(file.data, file.sha256)
    mask = part.explanation(0).mask
    assert mask is not None
    np.testing.assert_array_equal(mask, draw(grid, (64, 48), False))
    assert part.explanation(1).mask is None


def test_a_part_of_format_1_is_read_without_what_it_does_not_have() -> None:
    """The file was written by version 0.1.0."""
    data = (Path(__file__).parent / "data" / "format_1.parquet").read_bytes()
    part = parts.read(data, parts.sha256(data))
    assert part.header.schema_version == 1
    first, second = part.results()
    assert (first.key, first.label, first.metrics, first.columns) == (
        "a.jpg",
        "cat",
        {"deletion": 0.25},
        {"site": "A"},
    )
    assert first.window == AppliedWindow(0, 1023, "10 bits")
    assert first.repairs == ("cut",)
    assert first.grid is not None
    np.testing.assert_array_equal(first.grid, np.arange(16, dtype=np.float32).reshape(4, 4) / 15)
    assert (first.pixels, first.thumbnail, first.features) == ({}, None, None)
    assert second.status is ImageStatus.ERROR
    assert part.explanation(0).mask is not None
    assert part.columns(["key", "thumbnail", "features", "pixel_aspect"]).to_pylist() == [
        {"key": key, "thumbnail": None, "features": None, "pixel_aspect": None} for key in ("a.jpg", "b.jpg")
    ]


def test_only_the_columns_that_are_asked_for_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts.read(parts.write(HEADER, [_full(0), _full(1)]).data, None)
    decoded: list[str] = []
    real = pq.read_table

    def watched(source: object, columns: list[str], **options: object) -> pa.Table:
        decoded.extend(columns)
        return real(source, columns=columns, **options)

    monkeypatch.setattr(pq, "read_table", watched)
    rows = part.take(np.array([1]), ["row", "pixel_brightness"]).to_pylist()
    assert rows == [{"row": 1, "pixel_brightness": 0.5}]
    part.take(np.array([0]), ["row", "status"])
    assert decoded == ["row", "pixel_brightness", "status"], "each once, and no grid or thumbnail"


def test_a_row_whose_bytes_are_damaged_is_an_error_and_no_traceback() -> None:
    """Only a part that no ledger lists is read without its SHA-256."""
    data = bytearray(parts.write(HEADER, [_full(place) for place in range(50)]).data)
    data[4:-2000] = bytes(len(data) - 2004)
    with pytest.raises(StoreError):
        parts.read(bytes(data), None).results()


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


def test_the_header_says_how_features_were_projected() -> None:
    assert parts.features_header("fc", 8, "full") == {"layer": "fc", "width": 8, "kept": "full", "values": 8}
    header = replace(HEADER, features=parts.features_header("fc", 8, "projected"))
    read = parts.read(parts.write(header, []).data, None).header
    assert read == header
    assert read.features is not None
    assert (read.features["values"], read.features["seed"]) == (256, 0)
    assert len(read.features["digest"]) == 64


def test_keys_never_repeat_and_name_their_claim() -> None:
    first, second = (parts.part_key("job", "job-40", 7) for _ in range(2))
    assert first != second
    assert parts.parse_part_key(first) == ("job", "job-40", 7)
    for other in ("jobs/x/manifest.parquet", "parts/a/b/c.parquet", "parts/a/b/1-c.txt", "parts/a/b"):
        assert parts.parse_part_key(other) is None


def _full(row: int) -> Result:
    return replace(
        _row(np.ones((2, 2), np.float32)),
        row=row,
        pixels={"brightness": 0.5},
        thumbnail=b"picture",
        features=np.ones(256, np.float16),
    )


def _row(grid: np.ndarray | None) -> Result:
    return Result(row=0, key="a.jpg", status=ImageStatus.OK, grid=grid)
