"""IoU of boxes against a literal version that draws the mask at the photograph's size."""

import numpy as np
import pytest

from gfi.domain.geometry import Rectangle, place
from gfi.metrics.iou_box import iou_box, mask_box
from gfi.metrics.sample import Sample, measure


def literal(
    mask: np.ndarray, size: tuple[int, int], box: Rectangle, truth: list[Rectangle], alpha: float
) -> float:
    """Literal: threshold at α times the mean, tightest rectangle, best IoU by counting pixels."""
    drawn = place(mask, size, box)
    ys, xs = np.nonzero(drawn > alpha * mask.mean())
    if not truth or not len(ys):
        return float("nan")
    own = np.zeros(size, bool)
    own[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    scores = []
    for left, top, right, bottom in truth:
        other = np.zeros(size, bool)
        other[int(top) : int(bottom), int(left) : int(right)] = True
        scores.append((own & other).sum() / (own | other).sum())
    return max(scores)


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_literal_version_on_photographs_of_any_shape(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (int(random.integers(20, 700)), int(random.integers(20, 300)))
    box = (
        (3.0, 0.0, size[1] - 2.0, float(size[0])) if seed % 2 else (0.0, 0.0, float(size[1]), float(size[0]))
    )
    mask = random.random((7, 9)) ** 6
    truth = [(2.0, 1.0, 12.0, 15.0), (5.0, 4.0, size[1] - 1.0, size[0] - 2.0)]
    for alpha in (0.5, 1.5, 3.0):
        wanted = literal(mask, size, box, truth, alpha)
        assert iou_box(mask[None], [size], [box], [truth], alpha)[0] == pytest.approx(wanted, abs=1e-9)


def test_x_and_y_are_not_exchanged() -> None:
    mask = np.zeros((4, 8))
    mask[0:1, 4:8] = 1.0  # right, above
    assert mask_box(mask, (4, 8), (0, 0, 8, 4)) == (4, 0, 8, 1)


@pytest.mark.parametrize(("truth", "mask"), [([], np.eye(4)), ([(0.0, 0.0, 2.0, 2.0)], np.ones((4, 4)))])
def test_without_a_box_or_a_cell_above_the_threshold_there_is_no_number(
    truth: list[Rectangle], mask: np.ndarray
) -> None:
    assert np.isnan(iou_box(mask[None], [(4, 4)], [(0, 0, 4, 4)], [truth])[0])


def test_a_box_with_broken_edges_is_the_pixels_whose_centre_it_holds() -> None:
    mask = np.zeros((4, 4))
    mask[1:3, 1:3] = 1.0
    for truth in ((0.7, 1.4, 3.3, 2.6), (0.5, 0.5, 2.5, 2.5)):
        expected = {0.7: 1.0, 0.5: 1 / 7}[truth[0]]
        assert iou_box(mask[None], [(4, 4)], [(0, 0, 4, 4)], [[truth]])[0] == pytest.approx(expected)


def test_it_is_measured_by_its_name() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[1:3, 1:3] = 1.0
    sample = Sample(mask, 0, (4, 4), (0, 0, 4, 4), ((1.0, 1.0, 3.0, 3.0),))
    assert measure("iou_box", sample) == {"iou_box": 1.0}
