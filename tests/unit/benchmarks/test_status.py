"""The benchmark of the status `target_lost`."""

import numpy as np

from benchmarks import photographs, status
from gfi.domain.statuses import ImageStatus


def test_random_masks_have_the_area_of_the_mask_and_another_order() -> None:
    grid = np.random.default_rng(1).random((7, 7)).astype(np.float32)
    drawn = list(status.random_grids(grid, np.random.default_rng(0)))
    assert [kind for kind, _ in drawn] == ["shuffled", "shuffled", "smooth 4", "smooth 7"]
    for _, one in drawn:
        assert one.shape == grid.shape
        assert not np.array_equal(one, grid)
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(grid.ravel()))


def test_a_row_counts_both_rules_and_leaves_infinite_leads_out() -> None:
    marked = [
        (ImageStatus.TARGET_LOST, False, 0.5),
        (ImageStatus.OK, True, 2.5),
        (ImageStatus.OK, False, np.inf),
    ]
    row = status.row("net", "tuned", marked)
    assert (row["images"], row["target_lost"], row["target_lost_in_0_1"], row["median_lead"]) == (
        3,
        0.333,
        0.333,
        1.5,
    )


def test_without_shared_networks_the_sample_is_measured(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(photographs, "NETWORKS", tmp_path / "none")
    assert status.networks() == ["efficientnet-lite0"]
