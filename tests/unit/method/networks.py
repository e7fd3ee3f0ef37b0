"""Small seeded classifiers and images for the tests of the method."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision import models

from gfi.domain.recipes import Recipe
from gfi.method import classifiers
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.fills import blur
from gfi.method.inversion import Inversion


def seeded(name: str) -> nn.Module:
    """torchvision's AlexNet, VGG-11 or ResNet-18 from seed 0, in float64.

    The weights of AlexNet and VGG are doubled in every layer: with their default initialisation the features are so
    small that the penalty brings every weight to zero. Their heads are narrow, which saves 100 M weights. The logits
    are scaled to a standard deviation of 3, so that the classes differ and the softmax is not saturated.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = models.get_model(name, weights=None, num_classes=10)
        if name != "resnet18":
            wide = 256 * 36 if name == "alexnet" else 512 * 49
            net.classifier = nn.Sequential(nn.Linear(wide, 64), nn.ReLU(), nn.Linear(64, 10))
            for module in net.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.weight.data *= 2
    net = net.eval().double().requires_grad_(False)
    last = net.fc if name == "resnet18" else net.classifier[-1]
    spread = 3 / net(smooth_images(4, 96)).std()
    last.weight.data *= spread
    last.bias.data *= spread
    return net


def smooth_images(count: int, size: int, channels: int = 3, seed: int = 1) -> Tensor:
    """(count, channels, size, size) float64, smooth, so that a blur does not remove all structure."""
    coarse = torch.randn(
        count,
        channels,
        size // 8,
        size // 8,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    return nn.functional.interpolate(coarse, (size, size), mode="bicubic")


class Small(nn.Module):
    """Three convolutions, two grids, a head: quick enough to run a hundred times."""

    def __init__(self, channels: int = 3, classes: int = 5, width: int = 10, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(channels, width, 3, 2, 1)
            self.relu = nn.ReLU(inplace=True)
            self.body = nn.Conv2d(width, width + 1, 3, 1, 1)
            self.act = nn.ReLU()
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Linear(width + 1, classes)
        for module in (self.stem, self.body, self.head):
            module.weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.pool(self.act(self.body(x)))
        return self.head(x.mean((2, 3)))


def sample_at(size: int) -> Classifier:
    """The sample classifier with its trained weights, shown smaller photographs: a fifth of the work at 96 pixels."""
    full = load("efficientnet-lite0")
    return classifiers.from_module(
        full.module, (size, size), preprocess=replace(full.preprocess, size=(size, size))
    )


def small_inversion(chosen: Recipe, batch: int = 3) -> tuple[Inversion, Tensor, Tensor]:
    """`Small` with a batch of images, started; the images and their fills, (B, 3, 48, 48) each."""
    classifier = classifiers.from_module(Small(), (48, 48))
    images = smooth_images(batch, 48).float()
    inversion = Inversion(Engine(classifier, chosen, batch=batch).network, chosen, batch)
    fills = torch.stack([blur(x) for x in images])
    inversion.start(images, fills, [None] * batch, torch.zeros_like(images))
    return inversion, images, fills
