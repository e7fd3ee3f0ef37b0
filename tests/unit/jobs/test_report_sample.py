"""Which images a report shows, and its numbers by class."""

import numpy as np
import pytest

from gfi.jobs.report_sample import class_rows, draw_strata, quotas


@pytest.mark.parametrize(
    ("sizes", "limit"),
    [([90, 9, 1], 10), ([1] * 8 + [1000], 12), ([5, 5, 5], 14), ([3, 2, 2], 2), ([4, 1, 1, 1, 1], 6)],
)
def test_every_stratum_gives_its_share_and_at_least_one(sizes: list[int], limit: int) -> None:
    shares = quotas(np.array(sizes), limit)
    assert shares.sum() == limit
    assert (shares <= sizes).all()
    assert (shares >= (1 if len(sizes) <= limit else 0)).all()


def test_the_same_seed_draws_the_same_images_and_not_the_first_ones() -> None:
    strata = ["a"] * 900 + ["b"] * 90 + ["c"] * 10
    drawn = draw_strata(strata, 100, seed=3)
    assert np.array_equal(drawn, draw_strata(strata, 100, seed=3))
    assert not np.array_equal(drawn, draw_strata(strata, 100, seed=4))
    assert [
        int(np.sum((drawn >= low) & (drawn < high))) for low, high in ((0, 900), (900, 990), (990, 1000))
    ] == [90, 9, 1]
    assert len(np.unique(drawn)) == 100
    assert drawn.max() > 500
    assert draw_strata(strata[:5], 100, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_classes_are_in_the_order_of_their_sizes_and_say_what_is_missing() -> None:
    groups = ["moon"] * 3 + ["star"] * 5
    ok = np.array([True, True, False, False, False, False, False, False])
    right = np.array([1, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan])
    classes = class_rows(groups, ok, right, {"kept": np.array([0.2, 0.4, 9, 9, 9, 9, 9, 9])}, seed=0)
    assert classes is not None
    star, moon = classes.rows
    assert (star.name, star.images, star.explained, star.right, star.numbers["kept"]) == (
        "star",
        5,
        0,
        None,
        None,
    )
    assert moon.right == 0.5
    assert moon.numbers["kept"] is not None
    assert moon.numbers["kept"][0] == pytest.approx(0.3)
    assert class_rows(["moon"], np.array([True]), np.array([np.nan]), {}, 0) is None
