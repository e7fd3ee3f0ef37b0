"""Where a mask lies on its photograph, against a literal version that reads every pixel by itself."""

import numpy as np
import pytest

from gfi.domain.geometry import pixels, place
from tests.unit.metrics import literal
from tests.unit.metrics.cases import CASES, random_mask


@pytest.mark.parametrize("case", CASES)
def test_a_mask_is_placed_as_the_literal_version_places_it(case):
    size, box, _ = CASES[case]
    np.testing.assert_allclose(
        place(random_mask(), size, box), literal.on_photograph(random_mask(), size, box), atol=1e-6
    )


@pytest.mark.parametrize(
    ("region", "expected"),
    [((1, 2, 4, 6), (2, 6, 1, 4)), ((0.4, 0.6, 2.5, 3.51), (1, 4, 0, 2)), ((-5, -5, 90, 90), (0, 8, 0, 10))],
)
def test_a_box_holds_the_pixels_whose_centre_it_holds(region, expected):
    assert pixels(region, (8, 10)) == expected
