"""`released` in float64 against a port of the authors' loop (`authors_loop`).

On VGG-11 both run all 80 steps. On the small trained network all weights reach zero before. `make bench-parity` does
the same on a trained network with photographs.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.domain import geometry
from gfi.domain.presets import RELEASED
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.authors_loop import authors_loop
from tests.unit.method.networks import seeded, smooth_images


def trained() -> nn.Module:
    """A small network that was trained for a moment to tell where a bright disc lies."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, 1, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 4),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        images, classes = discs(16)
        optimizer.zero_grad()
        F.cross_entropy(net(images), classes).backward()
        optimizer.step()
    return net.eval()


def discs(count: int) -> tuple[Tensor, Tensor]:
    """Noise with a bright disc in one of four quarters, (N, 3, 32, 32), and the quarter, (N,)."""
    classes = torch.randint(4, (count,))
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    centres = 8 + 16 * torch.stack([classes // 2, classes % 2], 1)
    far = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    return 0.3 * torch.randn(count, 3, 32, 32) + 2.0 * (far < 25).float()[:, None], classes


@pytest.mark.parametrize("network", ["vgg11", "trained"])
def test_released_equals_the_authors_loop_to_1e_8(network: str) -> None:
    if network == "vgg11":
        net, layer, images = seeded("vgg11"), "features.20", smooth_images(1, 64)
    else:
        net, layer = trained(), "3"
        images = discs(1)[0].double()
    double = net.double().eval()
    size = (images.shape[2], images.shape[3])
    fills = images.mean((2, 3), keepdim=True) + 0.1 * images.flip(3)  # some fixed image in place of the blur
    wanted, kept, steps = authors_loop(double, double.get_submodule(layer), images, fills)

    engine = Engine(classifiers.from_module(double, size), RELEASED, batch=2, dtype=torch.float64)
    assert engine.layers.inverted == engine.layers.mask_layers[0] == layer
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    prepared = Prepared(images[0], fills[0], size, box)
    grids = []
    original = engine.begin

    def begin(*arguments):
        rows = original(*arguments)
        grids.append(rows)
        return rows

    engine.begin = begin  # type: ignore[method-assign]
    (found,) = engine.explain_many([Item(0, prepared)])
    rows = grids[0]
    mask = rows.mask(rows.omega).image[0, 0]  # the grid of an explanation is rounded to float32
    np.testing.assert_allclose(mask, wanted, atol=1e-8, rtol=0)
    assert found.iterations == steps
    assert (steps == 80) == (network == "vgg11")
    assert steps > 5
    assert found.kept == pytest.approx(kept, abs=1e-8)
    np.testing.assert_allclose(geometry.draw(found.grid, size, True), wanted, atol=1e-6, rtol=0)
