"""Guided feature inversion: the two-stage optimiser, on a batch of fixed shape.

For each image x with removed-pixel image p and target class c, over channel weights ω ≥ 0:

    stage 1   ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² + γ‖ω‖              (Eq. 8)
    stage 2   −f_c(Φ(x, m)) + λ f_c(Φ_bg(x, m)) + δ‖ω‖           (Eq. 9)

    m = normalise(Σ_i ω_i f_i^{l1}(x))                            (Eq. 6-7, `gfi.method.masks`)
    ω ← max(0, Adam(ω, ∂loss/∂ω)),  ω_0 = 0.1

f_c is the class's probability; "why A rather than B" takes the share f_A/(f_A + f_B) in its place, and y_A − y_B
for Grad-CAM.

What differs under `tuned` is written in `gfi.domain.recipes`: the map's start, the objective of stage 2, signed
weights, the step.

Each row is an optimisation of its own: losses are sums over that image alone, Adam's state is a row's
(`gfi.method.adam`), and every operation treats a row alike wherever it stands. At one batch shape an image's path
is therefore bit-equal in any slot, with any neighbours - which matters, because the recipe is chaotic: a
rounding of 1e-7 grows to differences of 0.3 in the mask.

**Where a mask ceases to exist** - all weights clipped to zero, a constant map, a value that is not finite -
the row freezes at its last step that had one and its fate is recorded. Rows freeze through `torch.where`; no
step waits for the device.

    inversion = Inversion(network, recipe, batch=8)
    inversion.start(images, fills, targets)
    while not inversion.done:
        inversion.step()            # omega, loss, gradient are open to inspection and omega may be set
    outcome = inversion.outcome()

Rows count their own steps, so that a row may end early and another, started elsewhere, `take` its place.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe
from gfi.method import batch_invariance, masks
from gfi.method.adam import Adam
from gfi.method.map_relative_descent import Relative
from gfi.method.masks import Mask, Upsampling
from gfi.method.network import Network


class Fate(IntEnum):
    """How a row's optimisation ended."""

    FINISHED = 0
    """All steps had a mask."""
    EMPTY = 1
    """Every weight was clipped to zero."""
    CONSTANT = 2
    """The map became constant (or, for `released`, nowhere positive) although weights were alive."""
    NONFINITE = 3
    """A feature, the loss or its gradient was not finite."""


class Outcome(NamedTuple):
    """What became of each row; all on the CPU. B rows, grid (h, w)."""

    omega: Tensor
    """(B, K): the last weights that had a mask."""
    grid: Tensor
    """(B, h, w) float32: the mask before up-sampling, already scaled; `interpolation.draw` draws it."""
    area: Tensor
    """(B,): the mask's mean over the input."""
    iterations: Tensor
    """(B,) long: steps behind `omega`."""
    fate: Tensor
    """(B,) long, a `Fate`."""
    has_mask: Tensor
    """(B,) bool: false where not even ω_0 had a mask; grid and area are then zero."""
    target: Tensor
    prediction: Tensor
    """(B,) long: the class explained, and the network's own."""
    probability: Tensor
    kept: Tensor
    removed: Tensor
    """(B,): f_c of the photograph, of Φ and of Φ_bg; with a foil the target's share of both."""
    loss: Tensor
    """(B,): of the last step that ran on live weights."""


class Inversion:
    """B optimisations side by side. `start` may be called again; shapes stay those of the first."""

    def __init__(self, network: Network, recipe: Recipe, batch: int) -> None:
        self.network = network
        self.recipe = recipe
        self.batch = batch

    # State, one row an image; readable between steps.
    omega: Tensor
    """ω, (B, K); may be set between steps."""
    gradient: Tensor
    """∂loss/∂ω at the weights before the last step, (B, K)."""
    loss: Tensor
    """Of the last step, at the weights before it, (B,)."""
    search: Adam | Relative
    count: Tensor
    """(B,) long: steps of each row."""
    alive: Tensor
    """(B,) bool: not frozen."""
    fate: Tensor
    """(B,) long, a `Fate`; final only in `outcome`."""

    _MOVED = (
        "images", "features", "wanted", "energy", "prediction", "target", "foil", "probability", "omega",
        "gradient", "loss", "count", "alive", "fate", "_sound", "_sound_at",
    )  # fmt: skip

    def start(
        self, images: Tensor, fills: Tensor, targets: Sequence[int | None], second: Tensor | None = None,
        foils: Sequence[int | None] | None = None,
    ) -> None:  # fmt: skip
        """Load x and p, each (B, C, H, W), and the target classes; None stands for the predicted class.

        second: another p, like `fills`, for a recipe with a second fill. foils: for each row a class B, "why A
        rather than B", or None. A row whose prediction, taken for its target, is B itself has nothing to tell
        apart and begins frozen, CONSTANT and without a mask.
        """
        if (second is None) == (self.recipe.second_fill != "none"):
            raise ValueError(f"the recipe's second fill is {self.recipe.second_fill}")
        if len(images) != self.batch or images.shape != fills.shape or len(targets) != self.batch:
            raise ValueError(f"a batch is {self.batch} images, fills and targets")
        layout = self.network.memory_format
        self.images = images.contiguous(memory_format=layout)
        self.fills = [p.contiguous(memory_format=layout) for p in (fills, second) if p is not None]

        # All that does not depend on ω, once: f(x), f^{l0}(x), f^{l1}(x).
        examined = self.network.examine(self.images, self.recipe.centred)
        self.features, self.wanted = examined.weighed, examined.inverted
        self.energy = _per_row(self.wanted.square())
        self.prediction = examined.probabilities.argmax(1)
        given = torch.tensor([-1 if t is None else t for t in targets], device=images.device)
        self.target = torch.where(given < 0, self.prediction, given)
        self.foil = torch.tensor(
            [-1 if b is None else b for b in foils or [None] * self.batch], device=images.device
        )  # -1: none
        self.probability = self._of_target(examined.probabilities)

        self.upsample = Upsampling.between(self.features, images, self.recipe.align_corners)
        prior = self.recipe.start == "grad-cam"
        weight = 0.0 if prior else self.recipe.omega_start
        self.omega = images.new_full((self.batch, self.features.shape[1]), weight)
        self.base = self._prior() if prior else None
        self.gradient = torch.zeros_like(self.omega)
        self.loss = images.new_zeros(self.batch)
        if self.recipe.search == "adam":
            self.search = Adam(self.recipe, self.omega)
        else:
            self.search = Relative(self.recipe, self.features, self.map(self.omega))
        self.count = torch.zeros(self.batch, dtype=torch.long, device=images.device)
        self.taken = [0] * self.batch  # `count` where the host can see it without waiting for the device
        self.alive = torch.ones(self.batch, dtype=torch.bool, device=images.device)
        self.fate = torch.full((self.batch,), Fate.FINISHED, device=images.device)
        self._sound = self.omega.clone()  # each row's last weights that had a mask ...
        self._sound_at = torch.full((self.batch,), -1, device=images.device)  # ... and updates behind them
        self._freeze(self.target == self.foil, Fate.CONSTANT)
        self._levels = torch.tensor(self.recipe.levels, dtype=torch.float64, device=images.device)

    def take(self, slot: int, other: "Inversion", row: int) -> None:
        """Row `row` of `other`, begun with the same recipe and shapes, goes on in `slot` here.

        Both batches must be past stage 1, whose passes are others.
        """
        if min(self.taken[slot], other.taken[row]) < self.recipe.steps_inversion:
            raise ValueError("rows move between batches only in stage 2")
        for name in self._MOVED:
            getattr(self, name)[slot] = getattr(other, name)[row]
        for mine, theirs in zip(self.fills, other.fills, strict=True):
            mine[slot] = theirs[row]
        if self.base is not None and other.base is not None:
            self.base[slot] = other.base[row]
        self.search.take(slot, other.search, row)  # type: ignore[arg-type]
        self.taken[slot] = other.taken[row]

    def skip_to(self, steps: int) -> None:
        """Every row as if after `steps` steps, whatever its weights: single steps are looked at and timed so."""
        self.taken = [steps] * self.batch
        self.count = torch.full_like(self.count, steps)

    @property
    def done(self) -> bool:
        """All steps of the recipe have run."""
        return min(self.taken) >= self.recipe.steps

    @property
    def first_stage(self) -> bool:
        """The next step is of stage 1."""
        return min(self.taken) < self.recipe.steps_inversion

    @property
    def updates(self) -> Tensor:
        """Steps of each row that the search's state stems from, (B,)."""
        return self.count if self.first_stage or self.recipe.one_adam else self._since

    def map(self, omega: Tensor) -> Tensor:
        """g of every row, (B, h, w), from weights (B, K)  (Eq. 6), on top of the prior where there is one."""
        grid = masks.combine(omega, self.features)
        return grid if self.base is None else self.base + grid

    def mask(self, omega: Tensor) -> Mask:
        """m of every row from weights (B, K)  (Eq. 6-7)."""
        return masks.normalise(self.map(omega), self.upsample, self.recipe.normalise)

    def _prior(self) -> Tensor:
        """Grad-CAM's map at l0 on the grid of l1, (B, h, w), divided by its largest absolute value.

        Where nothing speaks for the class - one that was asked for, not predicted - the map begins with what
        speaks least against it: less its minimum.
        """
        grid = self.network.evidence(self.images, self.target, self.foil)
        if grid.shape != (self.batch, *self.features.shape[2:]):
            grid = Upsampling.between(grid, self.features, align_corners=False)(grid)
        low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
        grid = torch.where(high > 0, grid, grid - low)
        largest = grid.abs().amax((1, 2), keepdim=True)
        return grid / torch.where(largest > 0, largest, torch.ones_like(largest))

    def step(self) -> None:
        """One update of every live row; of `tuned`, a question, and an update where a turn of them ends."""
        first_stage = self.first_stage

        with torch.enable_grad():
            omega = self.omega.detach().requires_grad_()
            mask = self.mask(omega)
            if first_stage:
                loss = self._keep_features(mask, omega)
            elif self.recipe.objective == "probability":
                loss = self._keep_class(mask, omega)
            else:
                loss = self._contrast(omega)
            (gradient,) = torch.autograd.grad(loss.sum(), omega)
        self.loss, self.gradient = loss.detach(), gradient

        halving = self.recipe.one_adam or not first_stage
        proposed = self.search.update(self.omega, gradient, self.updates, halving)
        sound = self._witness(mask)
        finite = torch.isfinite(self.loss) & torch.isfinite(gradient).all(1)
        self._freeze(sound & ~finite, Fate.NONFINITE)
        if not self.recipe.signed:
            proposed = proposed.clamp_min(0)
        self.omega = torch.where(self.alive.unsqueeze(1), proposed, self._sound)
        self.count = self.count + 1
        self.taken = [steps + 1 for steps in self.taken]
        if first_stage and not self.first_stage and not self.recipe.one_adam:
            self.search.reset()

    def _keep_features(self, mask: Mask, omega: Tensor) -> Tensor:
        """Eq. 8, (B,). The pass ends at l0."""
        kept = self.network.inverted(masks.blend(self.images, self.fills[0], mask.image))
        error = _per_row((kept - self.wanted).square())
        if self.recipe.relative_inversion:
            error = error / self.energy
        return error + self.recipe.gamma * self._penalty(omega)

    def _keep_class(self, mask: Mask, omega: Tensor) -> Tensor:
        """Eq. 9, (B,)."""
        kept, removed = self._halves(mask.image, self._fill_in_turn())
        return -kept + self.recipe.lambda_ * removed + self.recipe.delta * self._penalty(omega)

    def _contrast(self, omega: Tensor) -> Tensor:
        """−log(f_c(Φ) + ε f_c(x)) + λ log(f_c(Φ_bg) + ε f_c(x)) at the level whose turn it is, (B,)."""
        area = self._levels[self._since // len(self.fills) % len(self._levels)]
        part = masks.threshold(self.map(omega), self.upsample, area, self.recipe.softness)
        kept, removed = self._halves(part, self._fill_in_turn())
        least = self.recipe.floor * self.probability
        kept, removed = (batch_invariance.by_row(torch.log, share + least) for share in (kept, removed))
        return self.recipe.lambda_ * removed - kept

    @property
    def _since(self) -> Tensor:
        """Steps of stage 2 before this one, (B,)."""
        return self.count - self.recipe.steps_inversion

    def _fill_in_turn(self) -> Tensor:
        if len(self.fills) == 1:
            return self.fills[0]
        first, second = self.fills
        return torch.where((self._since % 2 == 0).view(-1, 1, 1, 1), first, second)

    def _halves(self, mask: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
        """f_c(Φ) and f_c(Φ_bg), (B,) each, from one pass over 2B images; mask (B, 1, H, W)."""
        kept = masks.blend(self.images, fill, mask)
        removed = masks.blend_background(self.images, fill, mask)
        both = self._of_target(self.network.probabilities(torch.cat([kept, removed])), pairs=True)
        return both[: self.batch], both[self.batch :]

    def _penalty(self, omega: Tensor) -> Tensor:
        """‖ω‖₁ - with subgradient 0 at 0, so that a dead weight is pushed no further - or Σω², (B,)."""
        return _per_row(omega.abs() if self.recipe.penalty == "l1" else omega.square())

    def _of_target(self, probabilities: Tensor, pairs: bool = False) -> Tensor:
        """f_c, (B,), or (2B,) of pairs, from f, (B, K) or (2B, K)."""
        target, foil = (c.repeat(2) if pairs else c for c in (self.target, self.foil))
        wanted = probabilities.gather(1, target.unsqueeze(1)).squeeze(1)
        other = probabilities.gather(1, foil.clamp_min(0).unsqueeze(1)).squeeze(1)
        # Without a foil the divisor is 1, which changes no bit of value or gradient.
        return wanted / torch.where(foil >= 0, wanted + other, torch.ones_like(wanted))

    def _witness(self, mask: Mask) -> Tensor:
        """Note which live rows have a mask at the current ω, freeze those that have none; (B,) bool."""
        sound = self.alive & mask.valid
        finite = torch.isfinite(mask.grid).flatten(1).all(1) & torch.isfinite(self.omega).all(1)
        dead = (self.omega == 0).all(1)
        self._sound = torch.where(sound.unsqueeze(1), self.omega, self._sound)
        self._sound_at = torch.where(sound, self.count, self._sound_at)
        lost = self.alive & ~mask.valid
        self._freeze(lost & ~finite, Fate.NONFINITE)
        self._freeze(lost & finite & dead, Fate.EMPTY)
        self._freeze(lost & finite & ~dead, Fate.CONSTANT)
        return sound

    def _freeze(self, rows: Tensor, fate: Fate) -> None:
        self.fate = torch.where(rows, int(fate), self.fate)
        self.alive = self.alive & ~rows

    @torch.no_grad()
    def look(self) -> tuple[Tensor, Tensor]:
        """The masks as they stand before up-sampling, (B, h, w) float32, and which rows live, (B,) bool; on the CPU."""
        mask = self.mask(self.omega)
        self._witness(mask)
        return mask.grid.float().cpu(), self.alive.cpu()

    @torch.no_grad()
    def outcome(self) -> Outcome:
        """The rows as they stand: also after fewer steps than the recipe's. Steps may follow."""
        self._witness(self.mask(self.omega))
        mask = self.mask(self._sound)
        kept, removed = self._halves(mask.image, self.fills[0])
        has_mask = self._sound_at >= 0
        there = has_mask.view(-1, 1, 1)
        grid = torch.where(there, mask.grid, torch.zeros_like(mask.grid))
        area = torch.where(has_mask, mask.image.mean((1, 2, 3)), torch.zeros_like(kept))
        found = Outcome(
            omega=self._sound, grid=grid.float(), area=area, iterations=self._sound_at.clamp_min(0),
            fate=self.fate, has_mask=has_mask, target=self.target, prediction=self.prediction,
            probability=self.probability, kept=kept, removed=removed, loss=self.loss,
        )  # fmt: skip
        return Outcome(*(tensor.cpu() for tensor in found))


def _per_row(values: Tensor) -> Tensor:
    """The sum over everything but the batch, (B,): losses never couple images."""
    return values.flatten(1).sum(1)
