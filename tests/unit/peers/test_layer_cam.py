"""LayerCAM against its formula, a channel at a time."""

import torch
import torch.nn.functional as F

from tests.unit.peers.options import run


def test_layer_cam_equals_its_formula_and_survives_an_in_place_relu(net, batch):
    images, _, targets = batch
    first, rest = net[:4], net[4:]
    for i, target in enumerate(targets):
        features = first(images[i : i + 1]).detach().requires_grad_()
        rest(features * 1.0)[0, target].backward()
        grid = torch.zeros(1, 1, *features.shape[2:], dtype=features.dtype)
        for k in range(features.shape[1]):
            grid[0, 0] += features.grad[0, k].clamp(min=0) * features.detach()[0, k]
        drawn = F.interpolate(grid.clamp(min=0), (22, 26), mode="bilinear", align_corners=False)
        fast = run("layer-cam", net, images[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(fast, drawn / drawn.max())
