"""Average drop and increase against the literal version."""

import pytest
import torch

from gfi.metrics.average_drop import average_drop
from tests.unit.metrics import literal
from tests.unit.metrics.cases import probabilities, target_probability


def test_average_drop_equals_the_literal_version(net, batch):
    images, masks, targets = batch
    fast = average_drop(probabilities(net), images, masks, targets, batch=3)
    for i in range(4):
        drop, increase = literal.average_drop(
            target_probability(net, targets[i]), images[i].numpy(), masks[i, 0].numpy()
        )
        assert float(fast.drop[i]) == pytest.approx(drop, abs=1e-12)
        assert bool(fast.increase[i]) == increase


def test_a_full_mask_has_no_drop(net, batch):
    images, _, targets = batch
    assert (
        average_drop(probabilities(net), images, torch.ones(4, 1, 22, 26), targets).drop.tolist() == [0.0] * 4
    )
