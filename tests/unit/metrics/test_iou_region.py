"""IoU of regions against a literal version that draws the mask at the photograph's size."""

import math

import numpy as np
import pytest

from gfi.metrics.iou_region import iou_region
from gfi.metrics.sample import Sample, measure
from tests.unit.metrics import literal
from tests.unit.metrics.cases import CASES


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_share_of_pixels_that_mask_and_region_have_in_common(case: str) -> None:
    size, box, _ = CASES[case]
    rng = np.random.default_rng(5)
    for _ in range(3):
        mask, region = rng.random((7, 5)), rng.random(size) < 0.3
        above = literal.on_photograph(mask, size, box) > 1.5 * mask.mean()
        wanted = (above & region).sum() / (above | region).sum()
        assert iou_region(mask, size, box, region) == pytest.approx(wanted)


def test_a_region_that_the_network_did_not_see_has_no_number() -> None:
    """It saw the right half; what it saw of a region that reaches further is judged against the whole region."""
    mask, region = np.array([[0.0, 1.0, 0.0, 0.0]]), np.zeros((4, 16), bool)
    region[:, :8] = True
    assert math.isnan(iou_region(mask, (4, 16), (8, 0, 16, 4), region))
    region[:, :12] = True
    assert 0 < iou_region(mask, (4, 16), (8, 0, 16, 4), region) < 2 / 12 + 1e-9
    assert math.isnan(iou_region(mask, (4, 16), (8, 0, 16, 4), np.zeros((4, 16), bool)))


def test_a_class_whose_objects_have_only_boxes_has_no_number() -> None:
    sample = Sample(np.eye(4, dtype=np.float32), 0, (4, 4), (0, 0, 4, 4), ((0, 0, 2, 2),))
    assert math.isnan(measure("iou_region", sample)["iou_region"])
