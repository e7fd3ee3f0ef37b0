"""A second implementation of `tuned`: one image, float64, written line by line from `gfi.domain.presets.tuned`.

It shares only the recipe's numbers with `gfi`; interpolation and features come from torch itself, and the whole
classifier runs for every objective term. Slow.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.domain.recipes import Recipe
from tests.unit.method.literal import features


@dataclass
class Step:
    """The values of one step, at the weights before it, except `next_omega`."""

    omega: Tensor
    grid: Tensor
    loss: float
    gradient: Tensor
    next_omega: Tensor


@dataclass
class Run:
    prior: Tensor
    phi: Tensor
    omega: Tensor
    mask: Tensor
    kept: float
    removed: float
    steps: list[Step] = field(default_factory=list)


def grad_cam(net: nn.Module, layer: str, x: Tensor, c: int) -> Tensor:
    """Σ_k α_k f_k at `layer`, not rectified: (1, 1, h, w)."""
    seen: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, i, out: seen.append(out))
    y = net(x.clone().requires_grad_())[0]
    y_c = y[c] - y.mean()
    handle.remove()
    f = seen[-1]
    (slope,) = torch.autograd.grad(y_c, f)
    total = torch.zeros(f.shape[2:], dtype=x.dtype)
    for k in range(f.shape[1]):
        total = total + slope[0, k].mean() * f[0, k].detach()
    return total[None, None]


def centred(f: Tensor, size: tuple[int, int]) -> Tensor:
    """One layer's channels on the grid `size`, minus their means, scaled to size 1: (K, h, w)."""
    f = F.interpolate(f, size, mode="bilinear", align_corners=False)[0]
    f = f - f.mean((1, 2)).view(-1, 1, 1)
    return f / ((f**2).sum() / (size[0] * size[1])) ** 0.5


def soft_part(g: Tensor, area: float, recipe: Recipe, size: tuple[int, int]) -> Tensor:
    """m_a, (1, 1, H, W)."""
    cells = sorted(g.detach().flatten().tolist(), reverse=True)
    n = min(max(round(area * len(cells)), 1), len(cells) - 1)
    q = (cells[n - 1] + cells[n]) / 2
    mean = sum(cells) / len(cells)
    s = (sum((cell - mean) ** 2 for cell in cells) / len(cells)) ** 0.5
    part = torch.sigmoid((g - q) / (recipe.softness * s))
    return F.interpolate(part[None, None], size, mode="bilinear", align_corners=False)


def explain(
    net: nn.Module,
    x: Tensor,
    fills: tuple[Tensor, ...],
    l0: str,
    l1: tuple[str, ...],
    recipe: Recipe,
    target: int | None = None,
    bank: Tensor | None = None,
) -> Run:
    """x and each of fills: (1, C, H, W); bank: (8, C, H, W), whose next image follows the fills at each level."""
    c = int(net(x).argmax()) if target is None else target
    f_c_x = net(x).softmax(1)[0, c].item()
    size = tuple(x.shape[2:])
    maps = [features(net, layer, x) for layer in l1]
    grid = max((tuple(f.shape[2:]) for f in maps), key=lambda hw: hw[0] * hw[1])
    phi = torch.cat([centred(f, grid) for f in maps])
    prior = F.interpolate(grad_cam(net, l0, x, c), grid, mode="bilinear", align_corners=False)[0, 0]
    if prior.max() <= 0:
        prior = prior - prior.min()
    prior = prior / prior.abs().max()

    omega = torch.zeros(len(phi), dtype=x.dtype)
    steps: list[Step] = []
    normalised = torch.zeros_like(omega)
    pairs = []  # of level and fill, in the order of the steps
    for i in range(recipe.steps_class):
        level = recipe.levels[i % len(recipe.levels)]
        pairs += [(level, p) for p in fills]
        pairs += [(level, bank[i % 8][None])] if bank is not None else []
    cycle = len(recipe.levels) * (len(fills) + (bank is not None))

    def height(weights: Tensor) -> Tensor:
        return (weights.view(-1, 1, 1) * phi).sum(0).abs().max()

    for t in range(recipe.steps_class):
        area, p = pairs[t]
        omega = omega.detach().requires_grad_()
        g = prior + (omega.view(-1, 1, 1) * phi).sum(0)
        m = soft_part(g, area, recipe, size)
        f_c = net(x * m + p * (1 - m)).softmax(1)[0, c]
        f_c_bg = net(x * (1 - m) + p * m).softmax(1)[0, c]
        least = recipe.floor * f_c_x
        loss = -torch.log(f_c + least) + recipe.lambda_ * torch.log(f_c_bg + least)
        (gradient,) = torch.autograd.grad(loss, omega)
        normalised = normalised + gradient / height(gradient)
        after = omega.detach()
        if t % cycle == cycle - 1:
            rate = recipe.rate * 0.5 ** (t // recipe.halve_every)
            after = after - rate * prior.abs().max() / height(normalised) * normalised
            normalised = torch.zeros_like(normalised)
        steps.append(Step(omega.detach(), g.detach(), loss.item(), gradient, after))
        omega = after

    g = prior + (omega.view(-1, 1, 1) * phi).sum(0)
    m = F.interpolate((g.clamp(min=0) / g.max())[None, None], size, mode="bilinear", align_corners=False)
    p = fills[0]
    kept = net(x * m + p * (1 - m)).softmax(1)[0, c].item()
    removed = net(x * (1 - m) + p * m).softmax(1)[0, c].item()
    return Run(prior, phi, omega, m, kept, removed, steps)
