"""Pairing of results: each image is counted once, under the first reason that applies."""

import numpy as np
import pytest

from gfi.drift.distances import top_area, top_weights
from gfi.drift.pairs import Counts, pair_results
from tests.unit.drift.tables import blob, pairs_of, result, table

SPOT = blob(2, 2)


def test_each_image_is_counted_once() -> None:
    a = [
        result("only-a", SPOT),
        result("version", SPOT),
        result("flip", SPOT),
        result("no-mask", SPOT),
        result("target", SPOT),
        result("pair", SPOT, row=7),
    ]
    b = [
        result("only-b", SPOT),
        result("version", SPOT, version="v2"),
        result("flip", SPOT, prediction=5),
        result("no-mask"),
        result("target", SPOT, target=3),
        result("pair", SPOT, row=9, status="target_lost"),
    ]
    (block,), counts = pairs_of(a, b)
    assert set(counts.to_json().values()) == {1}
    assert counts.same_version == 4
    assert (block.keys.tolist(), block.rows_a.tolist(), block.rows_b.tolist()) == (["pair"], [7], [9])
    assert (block.targets.tolist(), block.bit_equal.tolist()) == ([1], [True])
    assert (block.ok_a.tolist(), block.ok_b.tolist()) == ([True], [False])
    assert dict(counts.statuses) == {("ok", "target_lost"): 1}
    assert (dict(counts.flips_by_class), dict(counts.images_by_class)) == ({1: 1}, {1: 4})


def test_a_flip_is_not_a_moved_mask_even_where_both_explain_the_label() -> None:
    blocks, counts = pairs_of([result("x", SPOT)], [result("x", blob(6, 6), prediction=2)])
    assert (sum(map(len, blocks)), counts.flipped) == (0, 1)


def test_a_missing_version_is_equal_to_none() -> None:
    assert (
        pairs_of([result("x", SPOT, version=None)], [result("x", SPOT, version=None)])[1].other_version == 1
    )


def test_the_masks_of_an_image_are_in_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gfi.drift.pairs.PAIRS_AT_ONCE", 4)
    labels = {"a": 3, "b": 2, "c": 1, "d": 6, "e": 1}
    rows = [result(key, SPOT, target=at, target_rank=at) for key, n in labels.items() for at in range(n)]
    blocks, _ = pairs_of(rows, rows)
    assert ["".join(block.keys) for block in blocks] == ["aaa", "bbc", "dddddd", "e"]
    assert blocks[1].images.tolist() == [0, 0, 1]
    assert blocks[1].weights.tolist() == [0.5, 0.5, 1.0]


def test_every_class_that_both_jobs_explain_is_a_pair() -> None:
    def image(key: str, targets: tuple[int, ...]) -> list[dict[str, object]]:
        return [result(key, SPOT, target=t, target_rank=rank, prediction=4) for rank, t in enumerate(targets)]

    blocks, counts = pairs_of(
        image("x", (4, 1, 2)) + image("y", (4, 1)), image("x", (4, 2, 9)) + image("y", (4, 1))
    )
    assert sorted((key, t) for block in blocks for key, t in zip(block.keys, block.targets, strict=True)) == [
        ("x", 2),
        ("x", 4),
        ("y", 1),
        ("y", 4),
    ]
    assert counts.paired == 2


def test_grids_of_other_sizes_are_compared_on_the_common_grid() -> None:
    small, large = blob(3, 3, 1.2), blob(6.5, 6.5, 2.4, size=14)
    b = result("x", large, grid_height=14, grid_width=14)
    (block,), _ = pairs_of([result("x", small)], [b])
    assert not block.bit_equal[0]
    assert top_area(top_weights(block.a), top_weights(block.b))[0] < 0.1


def test_another_crop_of_the_photograph_is_laid_where_it_was_taken() -> None:
    """The spot is at (3, 3) of the whole photograph, and at the same place of the photograph seen through a crop."""
    whole = result("x", blob(3, 3, 0.8))
    crop = result("x", blob(3, 3, 1.6), left=14.0, top=14.0, right=42.0, bottom=42.0)
    moved = result("x", blob(3, 3, 1.6), left=0.0, top=0.0, right=28.0, bottom=28.0)
    (same,), _ = pairs_of([whole], [crop])
    (apart,), _ = pairs_of([whole], [moved])
    near, far = (top_area(top_weights(block.a), top_weights(block.b))[0] for block in (same, apart))
    assert near < 0.25 < 0.8 < far


def test_metrics_come_along() -> None:
    a, b = result("x", SPOT, energy_in_box=0.5), result("x", SPOT, energy_in_box=None)
    (block,), _ = pairs_of([a], [b], ["energy_in_box"])
    assert block.metrics["energy_in_box"][0] == pytest.approx([0.5])
    assert np.isnan(block.metrics["energy_in_box"][1]).all()


def _labels_job(labels: str, missed: str = "", failed: bool = False) -> list[dict[str, object]]:
    """An image with these labels, each a letter for a class; those of `missed` are not found."""
    return [
        result("x", None, target=None, prediction=None, target_rank=rank)
        if failed
        else result(
            "x", SPOT, target=ord(one), prediction=None if one in missed else ord(one), target_rank=rank
        )
        for rank, one in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (_labels_job("cd"), _labels_job("dc"), {"paired": 2}),
        (_labels_job("cd", "d"), _labels_job("dc", "d"), {"paired": 2}),
        (_labels_job("cd"), _labels_job("dc", "d"), {"paired": 1, "flipped": 1}),
        (_labels_job("cd", "cd"), _labels_job("cd"), {"flipped": 2}),
        (_labels_job("cd"), _labels_job("cde"), {"paired": 2, "only_b": 1}),
        (_labels_job("cd"), _labels_job("dc", failed=True), {"without_mask": 2}),
        (_labels_job("cd", failed=True), _labels_job("cd", failed=True), {"without_mask": 2}),
        (_labels_job("cd"), [], {"only_a": 2}),
    ],
)
def test_each_label_is_counted_once_whatever_the_order_and_not_found_is_a_prediction(
    a: list[dict[str, object]], b: list[dict[str, object]], expected: dict[str, int]
) -> None:
    counts = Counts()
    tables = [table(a)], [table(b)] if b else []
    blocks = list(pair_results(*tables, counts, each_label=True, sigmoid=True))
    assert {name: n for name, n in counts.to_json().items() if n} == expected
    assert sum(map(len, blocks)) == counts.paired


CAT, DOG, BIRD = 1, 2, 3


@pytest.mark.parametrize(
    ("a", "b", "sigmoid", "flipped"),
    [
        ((DOG, "ok"), (None, "ok"), True, 0),  # neither finds the cat
        ((DOG, "ok"), (BIRD, "ok"), True, 0),
        ((CAT, "ok"), (DOG, "ok"), True, 1),
        ((CAT, "ok"), (None, "target_lost"), True, 1),
        ((CAT, "ok"), (None, "error"), True, 0),  # unknown
        ((DOG, "ok"), (BIRD, "ok"), False, 1),  # the most probable class is the prediction
    ],
)
def test_a_label_flips_where_only_one_of_the_networks_finds_it(
    a: tuple[int | None, str], b: tuple[int | None, str], sigmoid: bool, flipped: int
) -> None:
    counts = Counts()
    tables = [[table([result("x", SPOT, target=CAT, prediction=p, status=s)])] for p, s in (a, b)]
    list(pair_results(*tables, counts, each_label=True, sigmoid=sigmoid))
    assert counts.flipped == flipped


def test_the_labels_of_an_image_are_one_flipped_image() -> None:
    """One of 20 images, with five labels each: a network with one prediction for an image flips them all at once."""
    a, b = (
        [
            result(f"{n:02d}", SPOT, target=rank, target_rank=rank, prediction=one if n == 0 else 0)
            for n in range(20)
            for rank in range(5)
        ]
        for one in (0, 4)
    )
    counts = Counts()
    list(pair_results([table(a)], [table(b)], counts, each_label=True))
    assert (counts.flipped, counts.same_version) == (5, 100)
    assert (counts.flipped_images, counts.images) == (1, 20)


def test_of_other_jobs_no_prediction_is_no_flip() -> None:
    a = [result("x", SPOT), result("y", SPOT)]
    _, counts = pairs_of(a, [result("x", SPOT, prediction=None), result("y", SPOT, prediction=2)])
    assert (counts.flipped, counts.paired) == (1, 1)
    # Nor does the image agree: it is in no share of flips.
    assert (counts.images, counts.unpredicted, counts.predicted_images, counts.predicted_of(1)) == (
        2,
        1,
        1,
        1,
    )


def test_of_an_image_it_is_known_whether_it_flipped_where_any_label_is() -> None:
    a = [result(key, SPOT, target=rank, target_rank=rank, prediction=0) for key in "xy" for rank in (0, 1)]
    b = [row | {"prediction": None if row["key"] == "x" or row["target"] else 0} for row in a]
    counts = Counts()
    list(pair_results([table(a)], [table(b)], counts, each_label=True))
    assert (counts.same_version, counts.unpredicted) == (4, 3)
    assert (counts.images, counts.predicted_images) == (2, 1)
    assert [counts.predicted_of(index) for index in (0, 1)] == [1, 0]
