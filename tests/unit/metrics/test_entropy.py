"""The metric `entropy` of the catalogue."""

import numpy as np
import pytest

from gfi.metrics.entropy import measure
from gfi.metrics.sample import Sample
from tests.unit.metrics import literal
from tests.unit.metrics.cases import random_mask


def test_its_column_is_the_literal_entropy_of_the_mask():
    mask = random_mask().astype(np.float32)
    columns = measure(Sample(mask, 0, (9, 8), (0, 0, 8, 9)))
    assert columns == {"entropy": pytest.approx(literal.area_and_entropy(mask)[1], abs=1e-6)}
