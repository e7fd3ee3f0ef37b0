"""The classifier of the drawn shapes of `gfi demo`: its last map has 16×16 cells, and a cell sees 17×17 pixels."""

from torch import nn


def _block(channels_in: int, channels: int, side: int, stride: int) -> tuple[nn.Module, ...]:
    """A convolution, batch normalisation and ReLU."""
    conv = nn.Conv2d(channels_in, channels, side, stride, side // 2, bias=False)
    return conv, nn.BatchNorm2d(channels), nn.ReLU()


def build(classes: int = 10) -> nn.Module:
    """The untrained network of 64×64 images."""
    return nn.Sequential(
        *_block(3, 16, 5, 2),
        *_block(16, 32, 3, 2),
        *_block(32, 64, 3, 1),
        *_block(64, 64, 1, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )
