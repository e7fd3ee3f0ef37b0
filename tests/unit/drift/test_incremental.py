"""The plan of an incremental job: explained, carried and removed, compared with a dictionary."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gfi.drift.incremental import LISTING, PlanCounts, plan_incremental

Rows = dict[str, tuple[str, bytes]]


def blocks(rows: Rows, order: np.random.Generator) -> list[pa.Table]:
    keys = list(rows)
    order.shuffle(keys)
    columns = {
        "key": keys,
        "version": [rows[key][0] for key in keys],
        "row": list(range(len(keys))),
        "question": [rows[key][1] for key in keys],
    }
    whole = pa.table(columns, schema=LISTING)
    return [whole.slice(at, 11) for at in range(0, len(whole), 11)]


@pytest.mark.parametrize("seed", range(4))
def test_each_image_is_explained_carried_or_removed(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)

    def listing() -> Rows:
        return {
            f"{n:03d}": (f"v{random.integers(3)}", bytes([random.integers(2)]) * 32)
            for n in random.choice(300, 200, replace=False)
        }

    new, earlier = listing(), listing()
    tables = blocks(new, random), blocks(earlier, random)
    names = [{row["row"]: row["key"] for table in side for row in table.to_pylist()} for side in tables]
    counts = PlanCounts()
    explained, removed, carried = set(), set(), {}
    for step in plan_incremental(*tables, tmp_path):
        counts.add(step)
        explained |= {names[0][row] for row in step.explained}
        removed |= {names[1][row] for row in step.removed}
        carried |= {names[0][a]: names[1][b] for a, b in zip(step.carried, step.carried_from, strict=True)}
    assert carried == {key: key for key in new if earlier.get(key) == new[key]}
    assert explained == set(new) - set(carried)
    assert removed == set(earlier) - set(new)
    assert (counts.explained, counts.carried, counts.removed) == (len(explained), len(carried), len(removed))
    assert counts.new == len(set(new) - set(earlier))
    assert counts.explained == counts.new + counts.changed


def test_the_same_listing_explains_nothing_and_another_question_everything(tmp_path: Path) -> None:
    order = np.random.default_rng(0)
    rows = {f"{n}": ("v", b"q" * 32) for n in range(50)}
    asked = {key: (version, b"r" * 32) for key, (version, _) in rows.items()}
    for number, (new, expected) in enumerate(((rows, (0, 50)), (asked, (50, 0)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        counts = PlanCounts()
        for step in plan_incremental(blocks(new, order), blocks(rows, order), folder):
            counts.add(step)
        assert (counts.explained, counts.carried) == expected


def test_an_empty_earlier_listing_explains_all_and_a_loss_of_more_than_half_is_noticed(
    tmp_path: Path,
) -> None:
    rows = {f"{n}": ("v", b"q" * 32) for n in range(50)}
    order = np.random.default_rng(0)
    counts = PlanCounts()
    for step in plan_incremental(blocks(rows, order), [], tmp_path):
        counts.add(step)
    assert (counts.new, counts.shrank) == (50, False)
    assert counts.sentence() == "50 images to explain (50 new, 0 changed), 0 carried over, 0 removed"
    assert PlanCounts(carried=49, removed=51).shrank
    assert not PlanCounts(carried=50, removed=50).shrank
