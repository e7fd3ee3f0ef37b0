"""The two-stage optimiser of guided feature inversion, on a batch of fixed shape.

For each image x with removed-pixel image p and target class c, over channel weights ω ≥ 0:

    stage 1   ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² + γ‖ω‖              (Eq. 8)
    stage 2   −f_c(Φ(x, m)) + λ f_c(Φ_bg(x, m)) + δ‖ω‖           (Eq. 9)

    m = normalise(Σ_i ω_i f_i^{l1}(x))                            (Eq. 6-7)
    ω ← max(0, Adam(ω, ∂loss/∂ω)),  ω_0 = 0.1

f_c is the probability of the class; with a foil B ("why A rather than B") the share f_A/(f_A + f_B) takes its place.
Start, objectives, step and normalisation are parts that the recipe chooses (`gfi.method.parts`).

Each row of the batch is an optimisation of its own: losses are sums over that image alone, every row has its own state
of the step rule, and every operation treats all rows alike. At one batch shape the path of an image is therefore
bit-equal in any slot and with any neighbours. That matters because the optimiser amplifies a rounding error of 1e-7
to about 0.01 in the final mask of `paper`, and to 0.3 in single cells.

**If a row no longer has a mask** (all weights clipped to zero, a constant map, a value that is not finite), the row
freezes at its last step with a mask, and the reason is recorded. Rows freeze through `torch.where`; no step waits for
the device.

    inversion = Inversion(network, recipe, batch=8)
    inversion.start(images, fills, targets)
    while not inversion.done:
        inversion.step()            # omega, loss and gradient may be read between steps, and omega may be set
    outcome = inversion.outcome()

Rows count their own steps, so that a row may end early and a row of another batch may take its place (`copy_row`).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import masks
from gfi.method.masks import Mask, Upsampling
from gfi.method.network import Network
from gfi.method.parts.normalisations import NORMALISATIONS
from gfi.method.parts.objectives import CLASS_OBJECTIVES, FeatureInversionLoss
from gfi.method.parts.starts import STARTS
from gfi.method.parts.steps import STEP_RULES, StepRule
from gfi.method.rows import Rows
from gfi.method.transfers import to_host


class StopReason(IntEnum):
    """Why the optimisation of a row ended."""

    FINISHED = 0
    """All steps ran, and all had a mask."""
    EMPTY = 1
    """Every weight was clipped to zero."""
    CONSTANT = 2
    """The map became constant (or, with `released`, nowhere positive) although some weights were not zero."""
    NONFINITE = 3
    """A feature, the loss or its gradient was not finite."""


class Outcome(NamedTuple):
    """The result of B rows on a grid (h, w); all tensors are on the CPU."""

    omega: Tensor
    """(B, K): the last weights that had a mask."""
    grid: Tensor
    """(B, h, w) float32: the mask before up-sampling, already scaled; `geometry.draw` draws it."""
    area: Tensor
    """(B,): mean of the mask over the input."""
    iterations: Tensor
    """(B,) long: steps behind `omega`."""
    stop_reason: Tensor
    """(B,) long: a `StopReason`."""
    has_mask: Tensor
    """(B,) bool: False where not even ω_0 had a mask; grid and area are then zero."""
    target: Tensor
    """(B,) long: the class explained."""
    prediction: Tensor
    """(B,) long: the class that the network predicts for the image."""
    probability: Tensor
    """(B,): f_c of the image; with a foil the share f_A/(f_A + f_B), as in the next two fields."""
    kept: Tensor
    """(B,): f_c of Φ."""
    removed: Tensor
    """(B,): f_c of Φ_bg."""
    loss: Tensor
    """(B,): of the last step."""


class Inversion(Rows):
    """B independent optimisations in one batch. `start` may be called again with images of the same shape."""

    def __init__(self, network: Network, recipe: Recipe, batch: int) -> None:
        super().__init__(network, recipe, batch)
        self._start = STARTS[recipe.start]()
        self._stage_1_loss = FeatureInversionLoss(recipe)
        self._stage_2_loss = CLASS_OBJECTIVES[recipe.objective](recipe)
        self._normalise = NORMALISATIONS[recipe.normalise]()

    pooled: Tensor | None
    """The pooled features of the images that `start` loaded, (B, D), or None; `copy_row` does not copy them."""

    # State with one row per image; it may be read between steps.
    omega: Tensor
    """ω, (B, K); may be set between steps."""
    gradient: Tensor
    """∂loss/∂ω at the weights before the last step, (B, K)."""
    loss: Tensor
    """The loss at the weights before the last step, (B,)."""
    step_rule: StepRule
    count: Tensor
    """(B,) long: steps of each row."""
    active: Tensor
    """(B,) bool: not frozen."""
    stop_reason: Tensor
    """(B,) long: a `StopReason`; final only in `outcome`."""

    _ROW_STATE = (
        "images",
        "features",
        "representation",
        "energy",
        "prediction",
        "target",
        "foil",
        "probability",
        "omega",
        "gradient",
        "loss",
        "count",
        "active",
        "stop_reason",
        "_last_valid",
        "_last_valid_at",
    )

    def start(
        self,
        images: Tensor,
        fills: Tensor,
        targets: Sequence[int | None],
        second_fills: Tensor | None = None,
        foils: Sequence[int | None] | None = None,
    ) -> None:
        """Load a batch and compute all that does not depend on ω.

        images, fills: x and p, (B, C, H, W). targets: a class per row, None for the predicted one. second_fills: a
        second p, (B, C, H, W), if and only if the recipe has a second fill. foils: per row a class to contrast the
        target with, or None. If no target is given and the prediction is the foil itself, the row starts frozen, with
        reason CONSTANT and without a mask.
        """
        if (second_fills is None) == (self.recipe.second_fill != "none"):
            raise ValueError(f"the recipe's second fill is {self.recipe.second_fill}")
        if len(images) != self.batch or images.shape != fills.shape or len(targets) != self.batch:
            raise ValueError(f"a batch is {self.batch} images, fills and targets")
        self.load(images, [p for p in (fills, second_fills) if p is not None])

        # f(x), f^{l0}(x) and f^{l1}(x)
        examined = self.network.examine(self.images, self.recipe.centred)
        self.features, self.representation = examined.mask_features, examined.representation
        self.pooled = examined.pooled
        self.energy = self.representation.square().flatten(1).sum(1)
        self.load_classes(examined.probabilities, targets, foils or [None] * self.batch)

        self.upsample = Upsampling.between(self.features, images, self.recipe.align_corners)
        self.omega, self.base = self._start(
            self.recipe, self.network, self.images, self.features, self.target, self.foil
        )
        self.gradient = torch.zeros_like(self.omega)
        self.loss = images.new_zeros(self.batch)
        rule = STEP_RULES[self.recipe.search]
        self.step_rule = rule(self.recipe, self.omega, self.features, self.map(self.omega))
        self.count = torch.zeros(self.batch, dtype=torch.long, device=images.device)
        self.steps_taken = [
            0
        ] * self.batch  # the same as `count`, kept on the host to avoid waiting for the device
        self.active = torch.ones(self.batch, dtype=torch.bool, device=images.device)
        self.stop_reason = torch.full((self.batch,), StopReason.FINISHED, device=images.device)
        # The last weights of each row that had a mask, and the steps behind them.
        self._last_valid = self.omega.clone()
        self._last_valid_at = torch.full((self.batch,), -1, device=images.device)
        self._freeze(self.target == self.foil, StopReason.CONSTANT)

    def copy_row(self, slot: int, other: "Inversion", row: int) -> None:
        """Copy row `row` of `other`, with its whole state, into row `slot`, where its optimisation continues.

        Both batches have the same recipe and shapes and must be past stage 1, whose passes are different.
        """
        if min(self.steps_taken[slot], other.steps_taken[row]) < self.recipe.steps_inversion:
            raise ValueError("rows move between batches only in stage 2")
        for name in self._ROW_STATE:
            getattr(self, name)[slot] = getattr(other, name)[row]
        for mine, theirs in zip(self.fills, other.fills, strict=True):
            mine[slot] = theirs[row]
        if self.base is not None and other.base is not None:
            self.base[slot] = other.base[row]
        self.step_rule.copy_row(slot, other.step_rule, row)
        self.steps_taken[slot] = other.steps_taken[row]

    def skip_to(self, steps: int) -> None:
        """Set the step count of every row, without changing its weights: to examine or time single steps."""
        self.steps_taken = [steps] * self.batch
        self.count = torch.full_like(self.count, steps)

    @property
    def done(self) -> bool:
        """All steps of the recipe have run in every row."""
        return min(self.steps_taken) >= self.recipe.steps

    @property
    def first_stage(self) -> bool:
        """The next step belongs to stage 1."""
        return min(self.steps_taken) < self.recipe.steps_inversion

    @property
    def updates(self) -> Tensor:
        """Steps of each row since its step rule was last reset, (B,)."""
        return self.count if self.first_stage or self.recipe.one_adam else self.class_steps

    @property
    def class_steps(self) -> Tensor:
        """Steps of stage 2 that each row has taken, (B,)."""
        return self.count - self.recipe.steps_inversion

    def map(self, omega: Tensor) -> Tensor:
        """g, (B, h, w), from weights (B, K)  (Eq. 6), added to the map of the start if there is one."""
        grid = masks.combine(omega, self.features)
        return grid if self.base is None else self.base + grid

    def mask(self, omega: Tensor) -> Mask:
        """m from weights (B, K)  (Eq. 6-7)."""
        return self._normalise(self.map(omega), self.upsample)

    def step(self) -> None:
        """One step of every row that is not frozen; with `tuned`, weights change only at the end of a cycle."""
        first_stage = self.first_stage
        objective = self._stage_1_loss if first_stage else self._stage_2_loss

        with torch.enable_grad():
            omega = self.omega.detach().requires_grad_()
            mask = self.mask(omega)
            loss = objective(self, omega, mask)
            (gradient,) = torch.autograd.grad(loss.sum(), omega)
        self.loss, self.gradient = loss.detach(), gradient

        halving = self.recipe.one_adam or not first_stage
        proposed = self.step_rule.update(self.omega, gradient, self.updates, halving)
        valid = self._record_valid(mask)
        finite = torch.isfinite(self.loss) & torch.isfinite(gradient).all(1)
        self._freeze(valid & ~finite, StopReason.NONFINITE)
        if not self.recipe.signed:
            proposed = proposed.clamp_min(0)
        self.omega = torch.where(self.active.unsqueeze(1), proposed, self._last_valid)
        self.count = self.count + 1
        self.steps_taken = [steps + 1 for steps in self.steps_taken]
        if first_stage and not self.first_stage and not self.recipe.one_adam:
            self.step_rule.reset()

    def _record_valid(self, mask: Mask) -> Tensor:
        """Record the weights of active rows that have a mask, and freeze active rows that have none.

        Returns which active rows have a mask, (B,) bool.
        """
        valid = self.active & mask.valid
        finite = torch.isfinite(mask.grid).flatten(1).all(1) & torch.isfinite(self.omega).all(1)
        dead = (self.omega == 0).all(1)
        self._last_valid = torch.where(valid.unsqueeze(1), self.omega, self._last_valid)
        self._last_valid_at = torch.where(valid, self.count, self._last_valid_at)
        lost = self.active & ~mask.valid
        self._freeze(lost & ~finite, StopReason.NONFINITE)
        self._freeze(lost & finite & dead, StopReason.EMPTY)
        self._freeze(lost & finite & ~dead, StopReason.CONSTANT)
        return valid

    def _freeze(self, rows: Tensor, reason: StopReason) -> None:
        self.stop_reason = torch.where(rows, int(reason), self.stop_reason)
        self.active = self.active & ~rows

    @torch.no_grad()
    def check_settled(self) -> tuple[Tensor, Tensor]:
        """The present masks before up-sampling, (B, h, w) float32, and which rows are active, (B,) bool; on the CPU.

        The caller compares them with those of the previous check.
        """
        mask = self.mask(self.omega)
        self._record_valid(mask)
        grid, active = to_host([mask.grid.float(), self.active])
        return grid, active

    @torch.no_grad()
    def outcome(self) -> Outcome:
        """The result of every row at this point, which may be before its last step; steps may follow."""
        self._record_valid(self.mask(self.omega))
        mask = self.mask(self._last_valid)
        kept, removed = self.kept_and_removed(mask.image, self.fills[0])
        has_mask = self._last_valid_at >= 0
        grid = torch.where(has_mask.view(-1, 1, 1), mask.grid, torch.zeros_like(mask.grid))
        area = torch.where(has_mask, mask.image.mean((1, 2, 3)), torch.zeros_like(kept))
        outcome = Outcome(
            omega=self._last_valid,
            grid=grid.float(),
            area=area,
            iterations=self._last_valid_at.clamp_min(0),
            stop_reason=self.stop_reason,
            has_mask=has_mask,
            target=self.target,
            prediction=self.prediction,
            probability=self.probability,
            kept=kept,
            removed=removed,
            loss=self.loss,
        )
        return Outcome(*to_host(outcome))
