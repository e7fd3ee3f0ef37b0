"""Integrated gradients against the path integral, a point at a time."""

import numpy as np
import torch

from gfi.peers import explain


def test_they_equal_the_integral_over_the_path(net, batch):
    images, _, targets = batch
    points, weights = np.polynomial.legendre.leggauss(8)
    for i, target in enumerate(targets):
        integral = torch.zeros_like(images[i])
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            there = (float(point) * images[i : i + 1]).requires_grad_()
            net(there)[0, target].backward()
            integral += float(weight) * there.grad[0]
        literal = (images[i] * integral).abs().sum(0)
        maps = explain("integrated-gradients", net, images[i : i + 1], targets[i : i + 1], steps=8)
        torch.testing.assert_close(maps[0, 0], literal / literal.max())


def test_the_batch_does_not_change_them(net, batch):
    images, _, targets = batch
    one = explain("integrated-gradients", net, images, targets, steps=8, batch=3)
    torch.testing.assert_close(one, explain("integrated-gradients", net, images, targets, steps=8, batch=32))
