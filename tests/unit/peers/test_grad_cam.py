"""Grad-CAM against Captum's."""

import torch
import torch.nn.functional as F
from torch import nn

from gfi.peers import unit
from tests.unit.peers.options import run


def test_grad_cam_equals_captum(net, batch):
    from captum.attr import LayerGradCam

    images, _, targets = batch
    # captum's hook keeps the tensor itself, so the ReLU after it must not work in place.
    net[4] = nn.ReLU()
    grid = LayerGradCam(net, net[3]).attribute(
        images.requires_grad_(), target=targets, relu_attributions=True
    )
    drawn = F.interpolate(grid, (22, 26), mode="bilinear", align_corners=False)
    torch.testing.assert_close(run("grad-cam", net, images, targets), unit(drawn.detach()))
