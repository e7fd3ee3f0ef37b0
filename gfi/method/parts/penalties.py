"""The size of the weights, which pulls weights without evidence to zero: `Recipe.penalty`."""

from collections.abc import Callable, Mapping

from torch import Tensor


def l1(omega: Tensor) -> Tensor:
    """‖ω‖₁, (B, K) → (B,). Its subgradient at 0 is 0, so a weight that reached zero is pushed no further."""
    return omega.abs().flatten(1).sum(1)


def squares(omega: Tensor) -> Tensor:
    """Σ_i ω_i², (B, K) → (B,)."""
    return omega.square().flatten(1).sum(1)


PENALTIES: Mapping[str, Callable[[Tensor], Tensor]] = {"l1": l1, "squares": squares}
