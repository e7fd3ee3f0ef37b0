"""The grid pointing game: does the map mark the photograph of its class among others?

n×n photographs of distinct classes, each classified with confidence, are put together into one image. The map for the
class of one cell should lie in that cell. For every method, the map's mean is subtracted and the rest is clamped
at 0, because a mask in [0, 1] has an offset that a gradient map has not:

    r = max(0, map − mean(map));    share = Σ_{cell} r / Σ r;    hit = arg-max of the map is in the cell

No boxes are needed. In a job the grids are 2×2 images of the job itself, of a sample of its images
(`workers.image_grids`). Chance level is 1/n². A constant map has neither mass nor maximum: its share is 0 and it is no
hit, so a method cannot gain by returning a constant.

References
----------
Böhle, Fritz, Schiele, "Convolutional Dynamic Alignment Networks for Interpretable Classifications", CVPR 2021.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gfi.metrics.sample import Sample

SIDE = 2
"""Cells along each side of the grids of a job."""


class GridScore(NamedTuple):
    """The scores of N maps.

    Attributes
    ----------
    share : Tensor
        (N,) float64 in [0, 1], the share of the map's mass in the cell of its target.
    hit : Tensor
        (N,) bool, whether the map's maximum is in that cell.
    """

    share: Tensor
    hit: Tensor


def compose(images: Tensor, n: int, size: tuple[int, int] | None = None) -> Tensor:
    """Put n² images together into one grid, cells in raster order.

    Parameters
    ----------
    images : Tensor
        (G, n², C, h, w).
    n : int
        Cells along each side.
    size : (int, int), optional
        (H, W) of the network's input, to which the grid is resized; n·h × n·w by default.

    Returns
    -------
    Tensor
        (G, C, H, W).

    Raises
    ------
    ValueError
        When there are not n² images for each grid.

    Examples
    --------
    >>> compose(torch.arange(4.0).view(1, 4, 1, 1, 1), 2)
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """
    if images.ndim != 5 or images.shape[1] != n * n:
        raise ValueError(f"a {n}×{n} grid is made of images (G, {n * n}, C, H, W), not {tuple(images.shape)}")
    g, _, c, h, w = images.shape
    whole = images.view(g, n, n, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(g, c, n * h, n * w)
    if size is None or size == (n * h, n * w):
        return whole
    return F.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True)


def grid_pointing(maps: Tensor, n: int, cells: Tensor) -> GridScore:
    """Score the maps of grids against the cell of their target; higher is better.

    A pixel belongs to the cell that holds its centre, so H and W need not be divisible by n.

    Parameters
    ----------
    maps : Tensor
        (N, 1, H, W), one map for each grid.
    n : int
        Cells along each side.
    cells : Tensor
        (N,), the cell of each map's target, in raster order.

    Returns
    -------
    GridScore

    Raises
    ------
    ValueError
        When the shapes do not fit each other.

    References
    ----------
    Böhle et al., "Convolutional Dynamic Alignment Networks for Interpretable Classifications", CVPR 2021.

    Examples
    --------
    >>> maps = torch.zeros(1, 1, 4, 4)
    >>> maps[0, 0, 0, 3] = 1.0
    >>> grid_pointing(maps, 2, torch.tensor([1])).share
    tensor([1.], dtype=torch.float64)
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


def measure(sample: Sample) -> dict[str, float]:
    """The columns of this metric for the mask of one grid of a job."""
    assert sample.cell is not None
    score = grid_pointing(torch.from_numpy(sample.mask)[None, None], SIDE, torch.tensor([sample.cell]))
    return {"grid_pointing": float(score.share[0]), "grid_hit": float(score.hit[0])}


def choose(
    predicted: Sequence[int],
    confidence: Sequence[float],
    n: int,
    count: int,
    seed: int = 0,
    least: float = 0.9,
) -> list[tuple[int, ...]]:
    """Draw grids of images of distinct predicted classes.

    Parameters
    ----------
    predicted : sequence of int
        The predicted class of each image.
    confidence : sequence of float
        Its probability, in [0, 1].
    n : int
        Cells along each side.
    count : int
        The number of grids to draw; the same image may be in several.
    seed : int
        Of the draw: the same seed gives the same grids.
    least : float
        Images predicted with a lower probability are left out.

    Returns
    -------
    list of tuple of int
        For each grid the indices of its n² images, in raster order.

    Raises
    ------
    ValueError
        When fewer than n² classes are predicted with a probability of `least` or more.

    Examples
    --------
    >>> sorted(choose([7, 8, 9, 9, 6], [0.9, 0.99, 0.2, 0.95, 0.97], n=2, count=1)[0])
    [0, 1, 3, 4]
    """
    by_class: dict[int, list[int]] = {}
    for index, (label, probability) in enumerate(zip(predicted, confidence, strict=True)):
        if probability >= least:
            by_class.setdefault(int(label), []).append(index)
    if len(by_class) < n * n:
        raise ValueError(
            f"a {n}×{n} grid needs {n * n} classes predicted with a probability of {least:g} or more, and there are "
            f"{len(by_class)}; take more photographs or a lower `least`"
        )
    draw = random.Random(seed)  # noqa: S311 - a benchmark's sample, not a secret
    grids = []
    for _ in range(count):
        labels = draw.sample(sorted(by_class), n * n)
        grids.append(tuple(draw.choice(by_class[label]) for label in labels))
    return grids
