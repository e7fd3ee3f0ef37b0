"""Insertion against the literal version."""

import numpy as np
import pytest

from gfi.metrics import fills
from gfi.metrics.insertion import insertion
from tests.unit.metrics import literal
from tests.unit.metrics.cases import probabilities, target_probability


def test_insertion_equals_the_literal_version(net, batch):
    images, masks, targets = batch
    base = fills.blurred(images)
    curve = insertion(probabilities(net), images, masks, targets)
    assert curve.points.shape == (4, 29)
    for i in range(4):
        probability = target_probability(net, targets[i])
        slow = literal.curve(
            probability, images[i].numpy(), masks[i, 0].numpy(), base[i].numpy(), deleting=False
        )
        np.testing.assert_allclose(curve.points[i], slow, atol=1e-12)
        assert float(curve.area[i]) == pytest.approx(literal.area_under(slow), abs=1e-12)
