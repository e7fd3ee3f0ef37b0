"""Adam, one optimiser per row: every image of a batch has its own moments, step count and learning rate.

    μ ← β1 μ + (1−β1) g,   ν ← β2 ν + (1−β2) g²
    ω ← ω − η_t/(1−β1^t) · μ / (√ν/√(1−β2^t) + ε)

The factors of every step t are computed once, in double precision; each row looks them up by its own count. The order
of operations is that of `torch.optim.Adam`. So the path of a row does not depend on the other rows, and one row can be
restarted while the others continue.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from gfi.domain.recipes import Recipe


class Adam:
    """The equations above for B rows of K weights."""

    def __init__(self, recipe: Recipe, omega: Tensor, features: Tensor, start: Tensor) -> None:
        self.recipe = recipe
        self.mean = torch.zeros_like(omega)
        """μ, (B, K)."""
        self.square = torch.zeros_like(omega)
        """ν, (B, K)."""
        steps = range(1, recipe.steps + 1)
        halved = [recipe.rate * 0.5 ** ((t - 1) // recipe.halve_every) for t in steps]

        def table(values: Iterable[float]) -> Tensor:
            return torch.tensor(list(values), dtype=torch.float64).to(omega)

        self._step_size = {
            False: table(recipe.rate / (1 - recipe.beta1**t) for t in steps),
            True: table(rate / (1 - recipe.beta1**t) for t, rate in zip(steps, halved, strict=True)),
        }
        self._root = table((1 - recipe.beta2**t) ** 0.5 for t in steps)

    def reset(self) -> None:
        """A new Adam for every row."""
        self.mean = torch.zeros_like(self.mean)
        self.square = torch.zeros_like(self.square)

    def copy_row(self, slot: int, other: "Adam", row: int) -> None:
        """Copy the state of row `row` of `other` into row `slot`."""
        self.mean[slot], self.square[slot] = other.mean[row], other.square[row]

    def update(self, omega: Tensor, gradient: Tensor, count: Tensor, halving: bool) -> Tensor:
        """The next ω of every row, (B, K), not yet clipped.

        gradient: g, (B, K). count: t − 1, (B,). halving: whether the rate is halved every `halve_every` updates.
        """
        self.mean = torch.lerp(self.mean, gradient, 1 - self.recipe.beta1)
        self.square = self.square * self.recipe.beta2 + (1 - self.recipe.beta2) * gradient * gradient
        count = count.clamp_max(len(self._root) - 1)  # rows that have ended and wait to be replaced
        step_size = self._step_size[halving][count].unsqueeze(1)
        root = self._root[count].unsqueeze(1)
        return omega - step_size * self.mean / (self.square.sqrt() / root + self.recipe.epsilon)
