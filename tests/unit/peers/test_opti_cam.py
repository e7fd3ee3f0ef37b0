"""Opti-CAM against its equation, one image at a time with torch's own Adam."""

import torch
import torch.nn.functional as F

from gfi.domain.methods import peer_recipe
from gfi.method.classifiers import from_module
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.peers.peer_engine import make_engine


def literal(head, features, image, target, steps, rate):
    """The mask of one image: max over u of y_c(x ⊙ up(n(Σ softmax(u)_k A^k)))."""
    u = torch.zeros(features.shape[1], dtype=image.dtype, requires_grad=True)
    adam = torch.optim.Adam([u], lr=rate)

    def mask():
        s = (u.softmax(0)[:, None, None] * features[0]).sum(0)
        s = (s - s.min()) / (s.max() - s.min())
        return F.interpolate(s[None, None], image.shape[2:], mode="bilinear", align_corners=False)

    for _ in range(steps):
        adam.zero_grad()
        (-head(image * mask())[0, target]).backward()
        adam.step()
    return mask()[0, 0].detach()


def test_the_mask_equals_that_of_the_equation():
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.ReLU())
    tail = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(24, 4))
    net = torch.nn.Sequential(*body, *tail)
    recipe = peer_recipe("opti-cam", opti_steps=20)
    engine = make_engine(from_module(net, (20, 24)), recipe, batch=2, dtype=torch.float64)
    image = torch.randn(3, 20, 24, dtype=torch.float64)
    (found,) = engine.explain_many(
        [Item(0, Prepared(image, None, (20, 24), (0.0, 0.0, 24.0, 20.0)), target=2)]
    )
    double = engine.network.module
    features = double[:2](image[None]).detach()
    expected = literal(double, features, image[None], 2, 20, recipe.opti_rate)
    grid = torch.from_numpy(found.grid)[None, None].double()
    drawn = F.interpolate(grid, (20, 24), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(drawn, expected, atol=2e-6, rtol=0)
