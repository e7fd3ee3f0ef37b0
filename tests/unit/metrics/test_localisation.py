"""Localisation against a literal version of the protocol: draw, threshold, box, count pixels."""

import numpy as np
import pytest

from gfi.domain.geometry import Rectangle, place
from gfi.metrics.localisation import ALPHAS, choose, errors, overlaps
from gfi.metrics.sample import Sample, measure


def literal(
    mask: np.ndarray, size: tuple[int, int], box: Rectangle, truth: list[Rectangle], alpha: float
) -> float:
    """The best IoU by counting pixels; 0 without a pixel above the threshold."""
    ys, xs = np.nonzero(place(mask, size, box) > alpha * mask.mean())
    if not len(ys):
        return 0.0
    own, best = np.zeros(size, bool), 0.0
    own[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    for left, top, right, bottom in truth:
        other = np.zeros(size, bool)
        other[int(top) : int(bottom), int(left) : int(right)] = True
        best = max(best, (own & other).sum() / (own | other).sum())
    return best


@pytest.mark.parametrize("seed", range(4))
def test_every_threshold_equals_the_literal_protocol_on_crops_of_any_shape(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (int(random.integers(20, 600)), int(random.integers(20, 90)))
    whole = (0.0, 0.0, float(size[1]), float(size[0]))
    box = (3.0, 0.0, size[1] - 2.0, float(size[0])) if seed % 2 else whole
    mask = random.random((7, 9)) ** 6
    truth = [(2.0, 1.0, 12.0, 15.0), (5.0, 4.0, size[1] - 1.0, size[0] - 2.0)]
    wanted = [literal(mask, size, box, truth, alpha) for alpha in ALPHAS]
    assert overlaps(mask, size, box, truth) == pytest.approx(wanted, abs=1e-9)


def test_the_grid_of_thresholds_is_the_papers() -> None:
    assert tuple(np.arange(0, 10.5, 0.5)) == ALPHAS


def test_half_an_overlap_is_an_error_and_a_mask_without_a_box_too() -> None:
    assert errors(np.array([[0.0, 0.5, 0.5 + 1e-9]])).tolist() == [[1.0, 1.0, 0.0]]
    assert errors(overlaps(np.zeros((4, 4)), (4, 4), (0, 0, 4, 4), [(0, 0, 4, 4)])).all()


def test_the_chosen_threshold_has_the_least_error_then_the_higher_iou_then_is_the_smaller() -> None:
    assert choose(np.array([[0.9, 0.6], [0.1, 0.6]]), (0.0, 0.5)).alpha == 0.5
    assert choose(np.array([[0.6, 0.9, 0.9]]), (0.0, 0.5, 1.0)).alpha == 0.5
    with pytest.raises(ValueError, match="no image"):
        choose(np.zeros((0, 21)))


def test_the_column_of_a_job_is_the_error_at_the_papers_threshold() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[1:3, 1:3] = 1.0
    hit = Sample(mask, 0, (4, 4), (0, 0, 4, 4), ((1.0, 1.0, 3.0, 3.0),))
    missed = Sample(mask, 0, (4, 4), (0, 0, 4, 4), ((0.0, 0.0, 2.0, 2.0),))
    assert [measure("localisation", one)["localisation_error"] for one in (hit, missed)] == [0.0, 1.0]
    assert np.isnan(measure("localisation", Sample(mask, 0, (4, 4), (0, 0, 4, 4)))["localisation_error"])
