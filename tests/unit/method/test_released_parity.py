"""`released` in float64 against a port of the loop of the authors' program, written here in plain torch.

The port has the program's structure: one photograph; the mask's weights are a parameter of torch's own Adam with
torch's own StepLR; the classifier runs whole, once for the photograph, the kept and the removed part each; weights are
clamped after every step. On VGG-11 both run all 80 steps. On the small trained network all weights reach zero before:
the program then divides 0 by 0, and the port ends at the last mask before that, as the engine does.
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
from tests.unit.method.networks import seeded, smooth_images


def authors_loop(
    net: nn.Module, layer: nn.Module, image: Tensor, blurred: Tensor
) -> tuple[Tensor, float, int]:
    """The last mask (H, W) of one image (1, C, H, W), the probability of the kept part, and the steps behind it."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))

    def whole(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.clear()
        probabilities = F.softmax(net(x), dim=1)
        return seen[-1], probabilities

    with torch.no_grad():
        features, probabilities = whole(image)
    label = int(probabilities[0].argmax())
    size = float(features.pow(2).sum())
    weights = nn.Parameter(torch.full((1, features.shape[1], 1, 1), 0.1, dtype=image.dtype))
    optimizer = torch.optim.Adam([weights], lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)

    def mask() -> Tensor:
        m = (weights * features).sum(1, keepdim=True)
        m = F.interpolate(m, image.shape[2:], mode="bilinear", align_corners=True)
        high = m.max()
        return (m - m.min()) / high

    last, steps = mask().detach(), 0
    for step in range(80):
        m = mask()
        if m.isnan().any():
            break
        last, steps = m.detach(), step
        kept = image * m + blurred * (1 - m)
        if step < 11:
            inverted, _ = whole(kept)
            loss = (inverted - features).pow(2).sum() / size + 5 * weights.pow(2).sum()
        else:
            _, foreground = whole(kept)
            _, background = whole(image * (1 - m) + blurred * m)
            loss = -foreground[0, label] + background[0, label] + 2 * weights.pow(2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        weights.data.clamp_(min=0)
    with torch.no_grad():
        m = mask()
        if not m.isnan().any():
            last, steps = m, 80
        _, foreground = whole(image * last + blurred * (1 - last))
    handle.remove()
    return last[0, 0], float(foreground[0, label]), steps


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
