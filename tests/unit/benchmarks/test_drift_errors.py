"""The errors of the default gate in simulation: a few gates of `make bench-drift-errors`, and its table in the docs."""

import json
from pathlib import Path

import pytest

from benchmarks.drift_errors import RESULTS_FILE, Case, errors, table

DOCS = Path(__file__).parents[3] / "docs" / "drift.md"


@pytest.mark.parametrize(
    ("case", "most"),
    [
        (Case(3, 30), 0),
        (Case(4, 200, 0.3), 3),  # without the spread between runs in p1, 8 of 60
        (Case(4, 30, more_flips=0.2), 0),
        (Case(3, 100, labels=5), 0),
    ],
)
def test_another_training_run_rarely_fails(case: Case, most: int) -> None:
    row = errors(case, 60)
    assert row["false"] <= most
    assert row["passed"] >= 54


def test_a_class_of_thirty_whose_masks_all_moved_fails_in_twenty_of_twenty() -> None:
    assert errors(Case(4, 30), 20)["found"] == 20


def test_the_table_of_the_docs_is_made_of_the_stored_rows() -> None:
    assert table(json.loads(RESULTS_FILE.read_text())["rows"]) in DOCS.read_text()
