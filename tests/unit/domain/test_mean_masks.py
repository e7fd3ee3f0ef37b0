"""Mean masks: whole numbers that add and subtract exactly, and means that are those of the masks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gfi.domain import mean_masks
from gfi.domain.geometry import matrix
from gfi.domain.mean_masks import CELLS, MeanMasks, in_cells
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus

RANDOM = np.random.default_rng(0)


def row(number: int, label: str | None = "cat", size: tuple[int, int] = (7, 7)) -> Result:
    grid = np.random.default_rng(number).random(size, dtype=np.float32)
    return Result(number, f"{number}.jpg", ImageStatus.OK, label=label, target=number % 3, grid=grid)


def literal(grid: np.ndarray) -> np.ndarray:
    """Each cell by fractions: the mean over its area, or where there are fewer cells interpolated."""

    def weights(size: int) -> list[list[Fraction]]:
        if size < CELLS:
            return [[Fraction(w).limit_denominator(28) for w in line] for line in matrix(size, CELLS, False)]
        step = Fraction(size, CELLS)
        overlap = [
            [
                max(Fraction(0), min((o + 1) * step, Fraction(j + 1)) - max(o * step, Fraction(j)))
                for j in range(size)
            ]
            for o in range(CELLS)
        ]
        return [[w / step for w in line] for line in overlap]

    steps = [[Fraction(int(v)) for v in line] for line in np.rint(grid.astype(float) * 255)]
    down, across = (weights(side) for side in grid.shape)
    values = [
        [
            sum(d * a * s for d, line in zip(row, steps, strict=True) for a, s in zip(col, line, strict=True))
            for col in across
        ]
        for row in down
    ]
    return np.array([[int(v + Fraction(1, 2)) for v in line] for line in values])


@pytest.mark.parametrize("size", [(14, 14), (7, 7), (1, 1), (2, 20), (28, 28), (15, 13), (56, 33)])
def test_cells_are_those_of_exact_fractions(size: tuple[int, int]) -> None:
    grid = RANDOM.random(size, dtype=np.float32)
    np.testing.assert_array_equal(in_cells(grid), literal(grid))
    assert (in_cells(np.ones(size)) == 255).all()


def test_means_are_those_of_the_masks() -> None:
    masks = MeanMasks.of([row(0), row(1), row(2, "dog"), row(3, None)])
    cat, *others = masks.classes()
    assert (cat.class_name, cat.images) == ("cat", 2)
    expected = (in_cells(row(0).grid) + in_cells(row(1).grid)) / 510
    np.testing.assert_array_equal(cat.mask, expected)
    assert [(one.class_name, one.images) for one in others] == [("0", 1), ("dog", 1)], (
        "a target names a class"
    )
    job = masks.job()
    assert job is not None
    assert job.images == 4
    np.testing.assert_allclose(job.mask, np.mean([in_cells(row(n).grid) / 255 for n in range(4)], 0))


def test_only_images_that_count_in_means_count() -> None:
    others = [
        replace(row(0), status=ImageStatus.TARGET_LOST),
        replace(row(0), target_rank=1),
        replace(row(0), grid=None),
    ]
    assert not MeanMasks.of(others)
    assert MeanMasks().job() is None
    peer = MeanMasks.of([replace(row(0), method="gradcam")])
    assert peer.classes() == []
    assert len(peer.classes("gradcam")) == 1


def test_what_is_subtracted_was_never_there_in_any_order_and_stored_or_not() -> None:
    rows = [row(number, ("cat", "dog", None)[number % 3]) for number in range(30)]
    replaced = rows[3:9]
    sums = MeanMasks()
    sums -= MeanMasks.of(replaced)
    sums = MeanMasks.unpacked(sums.packed())
    sums += MeanMasks.of(rows[:15])
    sums += MeanMasks.unpacked(MeanMasks.of(rows[15:]).packed())
    assert sums == MeanMasks.of(rows[:3] + rows[9:])
    assert MeanMasks.unpacked(sums.packed()) == sums
    sums -= MeanMasks.of(rows[:3] + rows[9:])
    assert not sums


def test_the_spread_is_that_of_the_masks_and_unknown_where_squares_are_missing() -> None:
    rows = [row(number, size=(14, 14)) for number in range(6)]
    masks = MeanMasks.of(rows)
    masks -= MeanMasks.of(rows[:2])
    (cat,) = masks.classes()
    assert cat.spread is not None
    np.testing.assert_allclose(
        cat.spread, np.std([in_cells(one.grid) / 255 for one in rows[2:]], axis=0), atol=1e-9
    )
    before = MeanMasks()  # as an earlier version counted: without squares
    before._sums = {key: value for key, value in MeanMasks.of(rows[:1])._sums.items() if "²" not in key[0]}
    masks += MeanMasks.unpacked(before.packed())
    assert masks.classes()[0].spread is None
    assert masks.job() is not None
    assert masks.job().spread is None  # type: ignore[union-attr]
    masks -= MeanMasks.of(rows[:1])  # a retry replaces the image: still nobody knows
    assert masks.classes()[0].spread is None


def test_too_many_classes_become_one_mean_whichever_are_merged_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mean_masks, "MOST_CLASSES", 5)
    rows = [row(number, f"class {number}") for number in range(8)]
    one, other = MeanMasks.of(rows[:6]), MeanMasks.of(rows[6:])
    forward, backward = MeanMasks(), MeanMasks()
    for part in (one, other):
        forward += part
    for part in (other, one):
        backward += part
    assert forward == backward == MeanMasks.unpacked(forward.packed())
    assert forward.classes() == []
    job, unlimited = forward.job(), MeanMasks.of(rows).job()
    assert job is not None
    assert unlimited is not None
    assert job.images == 8
    np.testing.assert_array_equal(job.mask, unlimited.mask)


def test_ten_million_images_fit_in_what_is_stored() -> None:
    sums = MeanMasks.of([row(0)])
    for _ in range(24):
        sums += MeanMasks.unpacked(sums.packed())
    job = sums.job()
    assert job is not None
    assert job.images == 2**24
    np.testing.assert_array_equal(job.mask, in_cells(row(0).grid) / 255)
