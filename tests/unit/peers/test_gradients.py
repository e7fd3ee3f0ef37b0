"""The activations and gradients of a layer that are used."""

import pytest
import torch
from torch import nn

from gfi.domain.errors import MethodError
from gfi.peers import explain


def test_a_rectified_layer_has_no_negative_features(net, batch):
    images, _, targets = batch
    plain = explain("layer-cam", net, images, targets, layer="3")
    rectified = explain("layer-cam", net, images, targets, layer="3:relu")
    # After the ReLU the slope is zero wherever the map is negative, so rectifying changes nothing here …
    torch.testing.assert_close(plain, rectified)
    # … but Grad-CAM averages the slope first, and there the negative part counts.
    assert not torch.equal(
        explain("grad-cam", net, images, targets, layer="3"),
        explain("grad-cam", net, images, targets, layer="3:relu"),
    )


def test_a_module_that_runs_several_times_means_its_last_call(batch):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.head = (
                nn.Conv2d(3, 4, 3, stride=2),
                nn.ReLU(inplace=True),
                nn.Conv2d(4, 5, 3),
            )

        def forward(self, x):
            return self.act(self.head(self.act(self.conv(x)))).mean((2, 3))

    torch.manual_seed(0)
    images, _, targets = batch
    net = Twice().double().eval().requires_grad_(False)
    maps = explain("grad-cam", net, images, targets, layer="act")
    torch.testing.assert_close(maps, explain("grad-cam", net, images, targets, layer="head:relu"))


def test_errors_about_a_layer_say_what_to_do(net, batch):
    images, _, targets = batch
    net.add_module("unused", nn.Conv2d(3, 4, 3))
    net.forward = net[:8].forward
    with pytest.raises(MethodError, match="layer `unused` did not run in this pass"):
        explain("grad-cam", net, images, targets, layer="unused")
    with pytest.raises(MethodError, match="maps, not tokens"):
        explain("grad-cam", net, images, targets, layer="3:tokens")
