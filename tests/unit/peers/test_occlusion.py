"""Occlusion with a network for which the important pixels are known."""

import torch
from torch import nn

from gfi.peers import explain


def test_occlusion_finds_the_only_pixels_that_count():
    class Corner(nn.Module):
        def forward(self, x):
            mean = x[:, :, :4, :4].mean((1, 2, 3))
            return torch.stack([mean, -mean], 1)

    image = torch.ones(1, 3, 16, 16)
    options = {"window": 4, "stride": 4}
    drop = explain("occlusion", Corner(), image, torch.tensor([0]), **options)
    assert drop[0, 0, :4, :4].eq(1).all()
    assert drop[0, 0, 4:].eq(0).all()
    assert explain("occlusion", Corner(), image, torch.tensor([1]), **options).eq(0).all()
