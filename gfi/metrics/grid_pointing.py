"""The grid pointing game (Böhle, Fritz and Schiele, 2021): does the map find its class among others?

n×n photographs of distinct classes, each confidently classified, make one image. The map for the
class of one cell should lie in that cell. For every method alike the map's mean is subtracted and the
rest clamped at 0 (a mask in [0, 1] has a pedestal, a gradient map has none):

    r = max(0, map − mean(map));    share = Σ_{cell} r / Σ r;    hit = arg-max of the map is in the cell

No boxes are needed. Chance is 1/n². A constant map has no mass and no maximum: share 0, no hit, so
that a method gains nothing by staying silent.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class GridScore(NamedTuple):
    """share: (N,) float64 in [0, 1]; hit: (N,) bool."""

    share: Tensor
    hit: Tensor


def compose(images: Tensor, n: int, size: tuple[int, int] | None = None) -> Tensor:
    """Grids (G, C, H, W) from images (G, n², C, h, w), cells in raster order.

    size: the network's input size where it is fixed; None keeps n·h × n·w.
    """
    if images.ndim != 5 or images.shape[1] != n * n:
        raise ValueError(f"a {n}×{n} grid is made from (G, {n * n}, C, H, W), not {tuple(images.shape)}")
    g, _, c, h, w = images.shape
    whole = images.view(g, n, n, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(g, c, n * h, n * w)
    if size is None or size == (n * h, n * w):
        return whole
    return F.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True)


def grid_pointing(maps: Tensor, n: int, cells: Tensor) -> GridScore:
    """Score maps (N, 1, H, W) of n×n grids against the cell of their target, cells (N,) in raster order.

    A pixel belongs to the cell that holds its centre, so sizes need not be divisible by n.
    """
    if maps.ndim != 4 or maps.shape[1] != 1 or cells.shape != (len(maps),):
        raise ValueError(f"maps are (N, 1, H, W) with N cells, not {tuple(maps.shape)}, {tuple(cells.shape)}")
    flat = maps.flatten(1).double()
    height, width = maps.shape[2:]
    rows = ((torch.arange(height, device=maps.device) * 2 + 1) * n) // (2 * height)
    columns = ((torch.arange(width, device=maps.device) * 2 + 1) * n) // (2 * width)
    cell_of = (rows[:, None] * n + columns).flatten()
    inside = cell_of == cells[:, None]
    varies = flat.amax(1) > flat.amin(1)
    rest = (flat - flat.mean(1, keepdim=True)).clamp(min=0)
    share = torch.where(varies, (rest * inside).sum(1) / rest.sum(1), 0.0)
    return GridScore(share, varies & (cell_of[flat.argmax(1)] == cells))


def choose(
    predicted: Sequence[int],
    confidence: Sequence[float],
    n: int,
    count: int,
    seed: int = 0,
    least: float = 0.9,
) -> list[tuple[int, ...]]:
    """`count` grids as n² image indices of distinct predicted classes, each confident by `least` or more.

    Drawn from `seed`; the same image may be in several grids. ValueError when there are too few classes.
    """
    by_class: dict[int, list[int]] = {}
    for index, (label, sure) in enumerate(zip(predicted, confidence, strict=True)):
        if sure >= least:
            by_class.setdefault(int(label), []).append(index)
    if len(by_class) < n * n:
        raise ValueError(
            f"a {n}×{n} grid needs {n * n} classes predicted with {least:g} or more, not {len(by_class)}"
        )
    draw = random.Random(seed)  # noqa: S311 - a benchmark's sample, not a secret
    grids = []
    for _ in range(count):
        labels = draw.sample(sorted(by_class), n * n)
        grids.append(tuple(draw.choice(by_class[label]) for label in labels))
    return grids
