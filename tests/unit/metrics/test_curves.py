"""The curve that deletion and insertion share: its order, its ends and its steps."""

import numpy as np
import pytest
import torch

from gfi.metrics.curves import ranks
from gfi.metrics.deletion import deletion
from tests.unit.metrics.cases import probabilities


def test_pixels_are_ranked_by_the_mask_and_equal_ones_in_raster_order():
    mask = torch.tensor([[0.5, 0.9, 0.5], [0.9, 0.1, 0.5]])
    assert ranks(mask[None, None])[0, 0].tolist() == [[2, 0, 3], [1, 5, 4]]


def test_a_curve_begins_and_ends_with_the_whole_image_and_the_fill(net, batch):
    images, masks, targets = batch
    ask = probabilities(net)
    whole = ask(images).gather(1, targets[:, None])[:, 0]
    blank = ask(torch.zeros_like(images)).gather(1, targets[:, None])[:, 0]
    curve = deletion(ask, images, masks, targets)
    torch.testing.assert_close(curve.points[:, 0], whole)
    torch.testing.assert_close(curve.points[:, -1], blank)


@pytest.mark.parametrize("size", [(28, 28), (5, 7), (1, 1), (23, 9)])
def test_sizes_that_28_does_not_divide_still_take_28_steps(size):
    images = torch.rand(2, 1, *size, dtype=torch.float64)

    def share(shown):  # the "probability" is the share of pixels still there
        kept = (shown != 0).double().mean((1, 2, 3))
        return torch.stack([kept, 1 - kept], 1)

    curve = deletion(share, images, torch.rand(2, 1, *size), torch.tensor([0, 0]))
    pixels = size[0] * size[1]
    expected = [1 - (k * pixels // 28) / pixels for k in range(29)]
    np.testing.assert_allclose(curve.points, [expected] * 2)
