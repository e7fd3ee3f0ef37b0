"""Rows of a part from the engine's explanations, and as the ledger records them."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.datasets.manifest import Entry
from gfi.domain.explanation import Explanation
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow
from gfi.method.preprocess import Prepared
from workers.photographs import Photograph
from workers.result_rows import FOIL_IS_TARGET, explained_row, failed_row, predicted, quarantined_row

ENTRY = Entry(7, "seven.png", 1, "v1", label="dog")


def photograph() -> Photograph:
    image: Any = None
    return Photograph(ENTRY, "v2", Prepared(image, None, (60, 80), (10.0, 0.0, 70.0, 60.0)))


def explanation(grid: np.ndarray) -> Explanation:
    return Explanation(7, 3, 4, 0.9, 0.8, 0.1, grid, 16, ImageStatus.OK, 0.25, 1.0, "mean")


def test_an_explained_row_carries_what_the_engine_found_and_what_it_was_shown() -> None:
    grid = np.ones((2, 2), dtype=np.float32)
    row = explained_row(photograph(), 1, explanation(grid), {"entropy": 2.0})
    assert (row.row, row.key, row.version, row.label, row.target_rank) == (7, "seven.png", "v2", "dog", 1)
    assert (row.target, row.prediction, row.status) == (3, 4, ImageStatus.OK)
    assert (row.original_size, row.box) == ((60, 80), (10.0, 0.0, 70.0, 60.0))
    assert row.grid is grid
    assert (row.kept, row.metrics) == (0.8, {"entropy": 2.0})


def test_what_was_done_to_the_photograph_and_its_boxes_is_in_its_result() -> None:
    window = AppliedWindow(0, 4095, "12 bits by the file")
    done = replace(photograph(), window=window, repairs=("a box is cut",))
    for row in (
        explained_row(done, 0, explanation(np.ones((2, 2), np.float32)), {}),
        failed_row(done, FOIL_IS_TARGET),
    ):
        assert (row.window, row.repairs) == (window, ("a box is cut",))


def test_a_grid_with_a_number_that_is_none_is_not_stored() -> None:
    grid = np.array([[np.nan, 1.0]], dtype=np.float32)
    assert explained_row(photograph(), 0, explanation(grid), {}).grid is None


def test_a_failed_row_says_why_and_has_no_mask() -> None:
    row = failed_row(photograph(), FOIL_IS_TARGET, rank=2)
    assert (row.status, row.error_class, row.target_rank) == (ImageStatus.ERROR, "target", 2)
    assert "rather_than" in (row.error or "")
    assert row.grid is None


def test_a_quarantined_row_is_made_without_opening_the_image() -> None:
    row = quarantined_row(ENTRY, "killed its worker 3 times")
    assert (row.status, row.error, row.error_class) == (
        ImageStatus.ERROR,
        "killed its worker 3 times",
        "killer",
    )
    assert row.version == ENTRY.version


@pytest.mark.parametrize(
    ("probability", "threshold", "said"),
    [(0.6, None, 7), (0.6, 0.5, 3), (0.5, 0.5, 3), (0.4, 0.5, 7)],
)
def test_a_network_that_decides_about_each_class_predicts_a_label_from_its_threshold_on(
    probability: float, threshold: float | None, said: int
) -> None:
    explanation = SimpleNamespace(target=3, prediction=7, probability=probability)
    assert predicted(explanation, threshold) == said  # type: ignore[arg-type]
    alone = SimpleNamespace(target=3, prediction=3, probability=0.4)
    assert predicted(alone, 0.5) is None  # type: ignore[arg-type]
