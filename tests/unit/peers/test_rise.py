"""RISE against a loop over its masks."""

import torch

from gfi.peers import explain


def test_rise_equals_a_loop_over_its_masks(net, batch):
    images, _, targets = batch
    seen = []

    def probabilities(shown):
        seen.append(shown)
        return net(shown).softmax(1)

    ones = torch.ones_like(images[:1])
    maps = explain("rise", net, ones, targets[:1], masks=12, batch=5, probabilities=probabilities)
    masks = torch.cat(seen)[:, 0]  # an image of ones shows the masks themselves
    total = sum(net(m.expand(1, 3, -1, -1)).softmax(1)[0, 0] * m for m in masks) / masks.sum(0)
    expected = (total - total.min()) / (total.max() - total.min())
    torch.testing.assert_close(maps[0, 0], expected)
    assert len(masks) == 12
    torch.testing.assert_close(maps, explain("rise", net, ones, targets[:1], masks=12, batch=12))
