"""Fills: the imputation of ROAD compared with a dense solve, and the pixels on which it depends."""

import numpy as np
import pytest
import torch

from gfi.metrics import fills
from gfi.metrics.curves import ranks
from gfi.metrics.deletion import deletion
from tests.unit.metrics import literal
from tests.unit.metrics.cases import probabilities, target_probability


def test_linear_imputation_equals_a_dense_solve():
    draw = torch.Generator().manual_seed(3)
    images = torch.randn(3, 2, 9, 11, generator=draw, dtype=torch.float64)
    known = torch.rand(3, 1, 9, 11, generator=draw) < torch.tensor([0.8, 0.3, 0.05]).view(3, 1, 1, 1)
    fast = fills.linear(images, known, tolerance=1e-10)
    for i in range(3):
        np.testing.assert_allclose(
            fast[i], literal.imputed(images[i].numpy(), known[i, 0].numpy()), atol=1e-8
        )


def test_imputation_keeps_known_pixels_and_does_not_read_missing_ones():
    images = torch.randn(2, 3, 12, 12)
    known = torch.rand(2, 1, 12, 12) < 0.5
    other = torch.where(known, images, torch.randn(2, 3, 12, 12))
    other[0, 0, 0, 0] = images[0, 0, 0, 0] if known[0, 0, 0, 0] else torch.nan
    other[1] = torch.where(known[1], other[1], torch.inf)
    impute = fills.imputation()
    filled = impute(images, known)
    assert torch.equal(torch.where(known, filled, images), images)
    torch.testing.assert_close(filled, impute(other, known))
    nothing, everything = torch.zeros_like(known), torch.ones_like(known)
    assert torch.equal(fills.linear(images, nothing), torch.zeros_like(images))
    assert torch.equal(impute(images, everything), images)


def test_deletion_with_imputation_does_not_show_the_deleted_pixels(net, batch):
    images, masks, targets = batch
    curve = deletion(probabilities(net), images, masks, targets, fill=fills.imputation(tolerance=1e-10))
    marked = ranks(masks)[0, 0] < 14 * 22 * 26 // 28
    by_hand = literal.imputed(images[0].numpy(), ~marked.numpy()) + np.where(
        marked, 0.05 * fills.white_noise(images)[0].numpy(), 0
    )
    assert float(curve.points[0, 14]) == pytest.approx(target_probability(net, 0)(by_hand), abs=1e-8)
