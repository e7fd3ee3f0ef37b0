"""The images of a batch with their fills and classes, and what masks keep of the classes.

f_c is the probability of the class; with a foil B ("why A rather than B") the share f_A/(f_A + f_B) takes its place.

**Shifted copies.** How much of the class a part of the image keeps depends on the network, the photograph and the
area: on SqueezeNet a compact mask keeps less than a tenth of the probability wherever it lies. So a mask is compared
with eight copies of itself that are moved around the image (`shifts`). They have its area and its smoothness and differ
only in their place. With the log-odds ℓ(p) = log p/(1−p),

    e(m) = ℓ(f_c(Φ(x, m))) − ℓ(f_c(Φ_bg(x, m)))        lead = (e(m) − mean of e(copies)) / their standard deviation

A mask that was drawn at random is one of nine equals and has a lead of 0 on average.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import masks
from gfi.method.masks import Upsampling
from gfi.method.network import Network

PLACES = 3
"""Places of a mask along each side of the image. A copy that is moved less than a third of the side covers much of
what the mask itself covers."""
LEAST_ODDS = 1e-6
"""Probabilities this near to 0 or 1 count as this near: float32 cannot tell them apart."""


def shifts(h: int, w: int) -> list[tuple[int, int]]:
    """The cyclic shifts (down, right) of the copies of a grid of h×w cells, in cells: 8, fewer below 3×3 cells.

    >>> len(shifts(14, 14)), shifts(7, 7)[:3], shifts(2, 2)
    (8, [(0, 2), (0, 5), (2, 0)], [(0, 1), (1, 0), (1, 1)])
    """
    down, right = ({round(i * side / PLACES) % side for i in range(PLACES)} for side in (h, w))
    return [(i, j) for i in sorted(down) for j in sorted(right) if (i, j) != (0, 0)]


def lead(own: Tensor, copies: Tensor) -> Tensor:
    """How far a mask stands out from its copies, in standard deviations of theirs.

    own: (kept, removed), (2,). copies: (2, n), n ≥ 2. Returns a float64 number; infinite if all copies are equal and
    the mask is not.

    >>> kept, removed = torch.tensor([0.2, 0.2, 0.1]), torch.tensor([0.5, 0.6, 0.5])
    >>> round(float(lead(torch.tensor([0.9, 0.1]), torch.stack([kept, removed]))), 2)
    15.26
    """
    e = torch.logit(torch.cat([own.unsqueeze(1), copies], 1).double(), LEAST_ODDS)
    e = e[0] - e[1]
    gap = e[0] - e[1:].mean()
    spread = e[1:].std()
    return torch.where(gap == 0, gap, gap / spread)


class Rows:
    """B images of one fixed shape, each with its own fill, target and foil."""

    images: Tensor
    """x, (B, C, H, W)."""
    fills: list[Tensor]
    """p, (B, C, H, W) each: one, or two that alternate."""
    prediction: Tensor
    """(B,) long: the class that the network predicts for the image."""
    target: Tensor
    """(B,) long: the class to explain."""
    foil: Tensor
    """(B,) long: the class that the target is contrasted with; −1 for none."""
    probability: Tensor
    """(B,): f_c of the image."""

    def __init__(self, network: Network, recipe: Recipe, batch: int) -> None:
        self.network = network
        self.recipe = recipe
        self.batch = batch

    def load(self, images: Tensor, fills: Sequence[Tensor]) -> None:
        """Set x and p, in the memory layout of the network."""
        layout = self.network.memory_format
        self.images = images.contiguous(memory_format=layout)
        self.fills = [fill.contiguous(memory_format=layout) for fill in fills]

    def load_classes(
        self, probabilities: Tensor, targets: Sequence[int | None], foils: Sequence[int | None]
    ) -> None:
        """Set the classes, from f(x), (B, K). targets: a class per row, None for the predicted one. foils: per row a
        class, or None."""
        device = self.images.device
        self.prediction = probabilities.argmax(1)
        given = torch.tensor([-1 if t is None else t for t in targets], device=device)
        self.target = torch.where(given < 0, self.prediction, given)
        self.foil = torch.tensor([-1 if b is None else b for b in foils], device=device)
        self.probability = self.target_probability(probabilities)

    def target_probability(self, probabilities: Tensor, rows: Tensor | None = None) -> Tensor:
        """f_c, or with a foil the target's share: (N,) from f, (N, K).

        rows: the row of the batch that each of the N images belongs to, (N,); None for those of the batch in order.
        """
        target, foil = (self.target, self.foil) if rows is None else (self.target[rows], self.foil[rows])
        f_target = probabilities.gather(1, target.unsqueeze(1)).squeeze(1)
        f_foil = probabilities.gather(1, foil.clamp_min(0).unsqueeze(1)).squeeze(1)
        # Without a foil the divisor is 1, which changes no bit of value or gradient.
        return f_target / torch.where(foil >= 0, f_target + f_foil, torch.ones_like(f_target))

    def kept_and_removed(self, mask: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
        """f_c(Φ) and f_c(Φ_bg), (B,) each, from one pass over 2B images; mask: (B, 1, H, W), fill: (B, C, H, W)."""
        kept = masks.blend(self.images, fill, mask)
        removed = masks.blend_background(self.images, fill, mask)
        twice = torch.arange(self.batch, device=mask.device).repeat(2)
        both = self.target_probability(self.network.probabilities(torch.cat([kept, removed])), twice)
        return both[: self.batch], both[self.batch :]

    @torch.no_grad()
    def of_copies(self, grids: Tensor, rows: Sequence[int], upsample: Upsampling) -> Tensor:
        """f_c(Φ) and f_c(Φ_bg) under the shifted copies of the grids of some rows, (len(rows), 2, copies).

        grids: (B, h, w), scaled. rows: of the batch. upsample: from the grid to the image. Every pass is over 2B
        images, as in `kept_and_removed`; the last one is padded.
        """
        moves = shifts(*grids.shape[1:])
        copies = [grids[row].roll(move, (0, 1)) for row in rows for move in moves]
        owners = [row for row in rows for _ in moves]
        kept, removed = [], []
        for first in range(0, len(copies), self.batch):
            chosen = [min(i, len(copies) - 1) for i in range(first, first + self.batch)]
            of = torch.tensor([owners[i] for i in chosen], device=grids.device)
            mask = upsample(torch.stack([copies[i] for i in chosen])).unsqueeze(1)
            parts = [
                part(self.images[of], self.fills[0][of], mask)
                for part in (masks.blend, masks.blend_background)
            ]
            shown = torch.cat(parts).contiguous(memory_format=self.network.memory_format)
            both = self.target_probability(self.network.probabilities(shown), of.repeat(2))
            kept.append(both[: self.batch])
            removed.append(both[self.batch :])
        both = torch.stack([torch.cat(kept), torch.cat(removed)])[:, : len(copies)]
        return both.view(2, len(rows), len(moves)).transpose(0, 1)
