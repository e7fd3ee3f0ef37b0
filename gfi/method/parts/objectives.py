"""What is minimised: one objective for stage 1, and one of two for stage 2 (`Recipe.objective`).

A loss is a sum over one image, (B,) for a batch: losses never couple the images of a batch.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import batch_invariance, masks
from gfi.method.masks import Mask
from gfi.method.parts.penalties import PENALTIES

if TYPE_CHECKING:
    from gfi.method.inversion import Inversion


class Objective(Protocol):
    """A loss for every row of a batch."""

    def __init__(self, recipe: Recipe) -> None: ...

    def __call__(self, rows: "Inversion", omega: Tensor, mask: Mask) -> Tensor:
        """The loss of each row, (B,). omega: ω, (B, K), an autograd leaf; mask: m, computed from it."""
        ...


class FeatureInversionLoss:
    """Stage 1: the kept image has the features of the whole image   (Eq. 8).

        ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² + γ‖ω‖

    `relative_inversion` divides the squared error by ‖f^{l0}(x)‖². The network runs only up to l0.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.penalty = PENALTIES[recipe.penalty]

    def __call__(self, rows: "Inversion", omega: Tensor, mask: Mask) -> Tensor:
        kept = rows.network.representation(masks.blend(rows.images, rows.fills[0], mask.image))
        error = (kept - rows.representation).square().flatten(1).sum(1)
        if self.recipe.relative_inversion:
            error = error / rows.energy
        return error + self.recipe.gamma * self.penalty(omega)


class ClassProbabilityLoss:
    """Stage 2: the kept part of the image has the class, the removed part does not   (Eq. 9).

    −f_c(Φ(x, m)) + λ f_c(Φ_bg(x, m)) + δ‖ω‖
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.penalty = PENALTIES[recipe.penalty]

    def __call__(self, rows: "Inversion", omega: Tensor, mask: Mask) -> Tensor:
        kept, removed = rows.kept_and_removed(mask.image, _fill_of_this_step(rows))
        return -kept + self.recipe.lambda_ * removed + self.recipe.delta * self.penalty(omega)


class LogContrastLoss:
    """Stage 2 of `tuned`: a contrast of logarithms for one level a and one fill per step.

        −log(f_c(Φ(x, m_a)) + ε f_c(x)) + λ log(f_c(Φ_bg(x, m_a)) + ε f_c(x))

    m_a is the map behind a soft threshold at its own a-quantile (`masks.soft_threshold`). Levels and fills alternate
    from step to step; one cycle of steps contains every pair of them once.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._levels = torch.tensor(recipe.levels, dtype=torch.float64)

    def __call__(self, rows: "Inversion", omega: Tensor, mask: Mask) -> Tensor:
        if self._levels.device != omega.device:  # once: a copy to the device in every step would wait for it
            self._levels = self._levels.to(omega.device)
        levels = self._levels
        area = levels[rows.class_steps // self.recipe.fills % len(levels)]
        part = masks.soft_threshold(rows.map(omega), rows.upsample, area, self.recipe.softness)
        kept, removed = rows.kept_and_removed(part, _fill_of_this_step(rows))
        least = self.recipe.floor * rows.probability
        kept, removed = (batch_invariance.by_row(torch.log, share + least) for share in (kept, removed))
        return self.recipe.lambda_ * removed - kept


CLASS_OBJECTIVES: Mapping[str, type[Objective]] = {
    "probability": ClassProbabilityLoss,
    "contrast": LogContrastLoss,
}


def _fill_of_this_step(rows: "Inversion") -> Tensor:
    """p, (B, C, H, W): fills take turns from step to step, each row by its own count. The bank's turn is the last, and
    each time it shows its next image."""
    count = rows.recipe.fills
    turn = (rows.class_steps % count).view(-1, 1, 1, 1)
    fill = rows.fills[0]
    for place, other in enumerate(rows.fills[1:], 1):
        fill = torch.where(turn == place, other, fill)
    if rows.recipe.bank != "none":
        bank = rows.network.leaves
        fill = torch.where(turn == count - 1, bank[rows.class_steps // count % len(bank)], fill)
    return fill
