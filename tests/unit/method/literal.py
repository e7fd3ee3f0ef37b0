"""A second implementation of guided feature inversion: one image, float64, written line by line from the equations.

It shares only the recipe's numbers with `gfi`. Interpolation, blur, Adam and the features come from torch itself; the
whole classifier runs three times per step, as a reader of the paper would write it. Slow.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.domain.recipes import Recipe


@dataclass
class Step:
    """The values of one step, at the weights before it, except `next_omega`."""

    omega: Tensor
    mask: Tensor | None
    loss: float = float("nan")
    gradient: Tensor | None = None
    next_omega: Tensor | None = None
    adam: dict = field(default_factory=dict)


@dataclass
class Run:
    steps: list[Step]
    status: str
    iterations: int
    omega: Tensor
    mask: Tensor
    kept: float
    removed: float


def blurred(x: Tensor) -> Tensor:
    """The Gaussian of radius 11: σ = 11, 67 taps, reflected borders. x: (1, C, H, W)."""
    taps = torch.exp(-((torch.arange(67, dtype=x.dtype) - 33) ** 2) / (2 * 11.0**2))
    taps = taps / taps.sum()
    c = x.shape[1]
    padded = F.pad(x, (33, 33, 33, 33), mode="reflect")
    rows = F.conv2d(padded, taps.view(1, 1, -1, 1).repeat(c, 1, 1, 1), groups=c)
    return F.conv2d(rows, taps.view(1, 1, 1, -1).repeat(c, 1, 1, 1), groups=c)


def features(net: nn.Module, layer: str, x: Tensor) -> Tensor:
    """f^l(x): the layer's output at its last call, rectified when the name says so."""
    name, _, suffix = layer.partition(":")
    seen: list[Tensor] = []
    handle = net.get_submodule(name).register_forward_hook(lambda m, i, out: seen.append(out.clone()))
    net(x)
    handle.remove()
    return seen[-1].clamp(min=0) if suffix == "relu" else seen[-1]


def mask_of(omega: Tensor, f1: Tensor, size: tuple[int, int], recipe: Recipe) -> Tensor | None:
    """m (1, 1, H, W), Eq. 6-7, or None where it is 0/0."""
    m = (omega.view(-1, 1, 1) * f1[0]).sum(0)[None, None]
    if recipe.name.startswith("paper"):
        if not m.max() > m.min():
            return None
        m = (m - m.min()) / (m.max() - m.min())
        return F.interpolate(m, size, mode="bilinear", align_corners=False)
    m = F.interpolate(m, size, mode="bilinear", align_corners=True)
    if not m.max() > m.min():
        return None
    return (m - m.min()) / m.max()


class Problem:
    """One image, its removed-pixel image, a network, two layers, a recipe and a class."""

    def __init__(
        self,
        net: nn.Module,
        x: Tensor,
        p: Tensor,
        layers: tuple[str, str],
        recipe: Recipe,
        target: int | None = None,
    ) -> None:
        self.net, self.x, self.p, self.recipe = net, x, p, recipe
        self.l0 = layers[0]
        self.f0, self.f1 = features(net, layers[0], x), features(net, layers[1], x)
        self.c = int(net(x).argmax()) if target is None else target
        self.size = tuple(x.shape[2:])
        self.paper = recipe.name == "paper"

    def mask(self, omega: Tensor) -> Tensor | None:
        return mask_of(omega, self.f1, self.size, self.recipe)

    def loss(self, t: int, omega: Tensor, m: Tensor) -> Tensor:
        """Eq. 8 or Eq. 9, whichever step t belongs to."""
        x, p, net, paper = self.x, self.p, self.net, self.paper
        phi = x * m + p * (1 - m)  # Eq. 2
        phi_bg = x * (1 - m) + p * m  # Eq. 4
        norm = omega.abs().sum() if paper else (omega**2).sum()
        if t < self.recipe.steps_inversion:
            error = ((features(net, self.l0, phi) - self.f0) ** 2).sum()
            if not paper:
                error = error / (self.f0**2).sum()
            return error + (10 if paper else 5) * norm
        f_c, f_c_bg = net(phi).softmax(1)[0, self.c], net(phi_bg).softmax(1)[0, self.c]
        return -f_c + 1 * f_c_bg + (1 if paper else 2) * norm

    def rate(self, t: int) -> float:
        since = t if not self.paper else t - self.recipe.steps_inversion
        return 0.01 * 0.5 ** (max(since, 0) // 10)

    def step(self, t: int, omega: Tensor, adam: torch.optim.Adam) -> Step:
        """One update of the leaf `omega` in place."""
        m = self.mask(omega)
        state = {key: value.clone() for key, value in adam.state.get(omega, {}).items()}
        step = Step(omega.detach().clone(), None if m is None else m.detach(), adam=state)
        if m is None:
            return step
        adam.param_groups[0]["lr"] = self.rate(t)
        loss = self.loss(t, omega, m)
        adam.zero_grad()
        loss.backward()
        assert omega.grad is not None
        step.loss, step.gradient = loss.item(), omega.grad.clone()
        adam.step()
        with torch.no_grad():
            omega.clamp_(min=0)
        step.next_omega = omega.detach().clone()
        return step

    def step_from(self, t: int, omega: Tensor, state: dict) -> Step:
        """The update of step t from these weights and this state of Adam."""
        leaf = omega.clone().requires_grad_()
        adam = torch.optim.Adam([leaf], lr=0.01)
        if state:
            adam.state[leaf] = {key: value.clone() for key, value in state.items()}
        return self.step(t, leaf, adam)

    def run(self) -> Run:
        """Both stages from ω = 0.1."""
        omega = torch.full((self.f1.shape[1],), 0.1, dtype=self.x.dtype, requires_grad=True)
        adam = torch.optim.Adam([omega], lr=0.01)
        steps: list[Step] = []
        for t in range(self.recipe.steps_inversion + self.recipe.steps_class):
            if self.paper and t == self.recipe.steps_inversion:
                adam = torch.optim.Adam([omega], lr=0.01)
            steps.append(self.step(t, omega, adam))
            if steps[-1].mask is None:
                break
        else:
            steps.append(Step(omega.detach().clone(), self.mask(omega)))

        # The last step that had a mask, and why the one after it had none.
        last_valid = max((t for t, step in enumerate(steps) if step.mask is not None), default=0)
        status = "ok"
        if steps[-1].mask is None:
            status = "empty" if bool((steps[-1].omega == 0).all()) else "constant"
        final = steps[last_valid]
        m = torch.zeros(1, 1, *self.size, dtype=self.x.dtype) if final.mask is None else final.mask.detach()
        with torch.no_grad():
            kept = self.net(self.x * m + self.p * (1 - m)).softmax(1)[0, self.c].item()
            removed = self.net(self.x * (1 - m) + self.p * m).softmax(1)[0, self.c].item()
        return Run(
            [s for s in steps if s.gradient is not None], status, last_valid, final.omega, m, kept, removed
        )
