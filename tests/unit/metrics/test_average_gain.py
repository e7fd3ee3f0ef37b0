"""Average gain beside average drop."""

import torch

from gfi.metrics.average_drop import average_drop
from gfi.metrics.average_gain import average_gain
from tests.unit.metrics.cases import probabilities


def test_an_image_has_a_drop_or_a_gain_of_its_own_room(net, batch):
    images, masks, targets = batch
    drop = average_drop(probabilities(net), images, masks, targets)
    gain = average_gain(drop)
    for i in range(4):
        whole, masked = float(drop.whole[i]), float(drop.masked[i])
        assert float(gain[i]) == max(0.0, masked - whole) / (1 - whole)
        assert (float(gain[i]) > 0) == bool(drop.increase[i])


def test_a_mask_that_is_not_finite_has_none(net, batch):
    images, masks, targets = batch
    masks[0, 0, 0, 0] = torch.nan
    gain = average_gain(average_drop(probabilities(net), images, masks, targets))
    assert gain.isnan().tolist() == [True, False, False, False]
