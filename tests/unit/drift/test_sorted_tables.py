"""External sort and merge join."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gfi.drift.sorted_tables import SortedTables, aligned


def blocks(keys: list[str], size: int) -> list[pa.Table]:
    return [
        pa.table({"key": keys[at : at + size], "at": list(range(at, min(at + size, len(keys))))})
        for at in range(0, len(keys), size)
    ]


@pytest.mark.parametrize("run_bytes", [1, 2_000, 10**9])
def test_rows_come_out_in_order_however_many_runs_there_are(tmp_path: Path, run_bytes: int) -> None:
    random = np.random.default_rng(0)
    keys = [f"{number:x}-ä" for number in random.integers(0, 500, 1000)]
    rows = [
        row
        for table in SortedTables(blocks(keys, 37), "key", tmp_path, run_bytes)
        for row in table.to_pylist()
    ]
    assert [row["key"] for row in rows] == sorted(keys)
    assert sorted(row["at"] for row in rows) == list(range(1000))


def test_sorted_input_is_one_run(tmp_path: Path) -> None:
    keys = [f"{number:05d}" for number in range(1000)]
    assert sum(map(len, SortedTables(blocks(keys, 10), "key", tmp_path, 1))) == 1000
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_sorts_to_nothing(tmp_path: Path) -> None:
    assert list(SortedTables([], "key", tmp_path)) == []
    assert list(aligned([], [], "key")) == []


def test_every_partner_is_in_the_same_step() -> None:
    random = np.random.default_rng(1)
    left, right = (sorted(f"{n:03d}" for n in random.integers(0, 200, count)) for count in (300, 170))
    seen: tuple[list[str], list[str]] = ([], [])
    borders = []
    for steps in aligned(blocks(left, 7), blocks(right, 23), "key"):
        keys = [key for table in steps if table is not None for key in table.column("key").to_pylist()]
        borders.append((min(keys), max(keys)))
        for kept, table in zip(seen, steps, strict=True):
            kept += table.column("key").to_pylist() if table is not None else []
    assert seen == (left, right)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(borders))


def test_one_side_may_be_empty() -> None:
    assert [(a is None, len(b)) for a, b in aligned([], blocks(["a", "b"], 5), "key")] == [
        (True, 1),
        (True, 1),
    ]
