"""The other methods, and the controls, under one signature: what every score is read against.

    explain("grad-cam", module, inputs, targets, layer="layer4") -> (N, 1, H, W) in [0, 1]

| method | map of class c |
|---|---|
| grad-cam | max(0, Σ_k α_k A^k), α_k the mean of ∂y_c/∂A^k over the grid |
| layer-cam | max(0, Σ_k max(0, ∂y_c/∂A^k) ⊙ A^k) |
| integrated-gradients | Σ_channels of abs((x − x') · ∫₀¹ ∂y_c/∂x (x' + a(x − x')) da), x' the mean colour |
| occlusion | mean fall of p_c over the square windows that cover a pixel |
| rise | Σ_i p_c(x ⊙ M_i) · M_i / Σ_i M_i over random masks M_i, min–max scaled |
| random | uniform noise on a coarse grid, up-sampled: a floor with a mask's smoothness |
| centred | a Gaussian in the middle: photographers centre their subjects |

y is the network's output before softmax, p its probability. A map is divided by its own maximum, image
by image; one without positive evidence is all zero. captum does integrated gradients and occlusion and
is loaded when they are asked for. The floor for *networks* is `randomised`: the same architecture with
no memory of its training (Adebayo et al., 2018).
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gfi.domain import layer_names
from gfi.domain.errors import MethodError
from gfi.metrics.batched_probabilities import Probabilities


def explain(
    method: str,
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    layer: str | None = None,
    **options: Any,
) -> Tensor:
    """Maps (N, 1, H, W) in [0, 1], in the dtype and on the device of `inputs`.

    module: images to logits (N, K), in eval mode; inputs: (N, C, H, W) normalised; targets: (N,) class
    indices; layer: the map that the two CAMs read, as `gfi layers` writes it (":relu" rectifies it; a
    module that runs several times means its last call). options: the keywords of the function below
    that carries out the method. Raises MethodError for an unknown method or a missing layer.
    """
    if method not in METHODS:
        raise MethodError(f"no method is called `{method}`; there are {', '.join(METHODS)}")
    if inputs.ndim != 4 or targets.shape != (len(inputs),):
        raise MethodError(f"{tuple(inputs.shape)} inputs need one target each, not {tuple(targets.shape)}")
    if method in NEED_LAYER:
        if layer is None:
            raise MethodError(f"{method} needs a layer; `gfi layers` lists a network's")
        options["layer"] = layer
    maps = METHODS[method](module, inputs.detach(), targets.to(inputs.device), **options)
    return maps.detach().to(inputs)


def grad_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """Selvaraju et al., 2017: max(0, Σ_k α_k A^k), α_k = mean of ∂y_c/∂A^k."""
    features, slopes = _slopes(module, inputs, targets, layer, batch)
    weights = slopes.mean((2, 3), keepdim=True)
    return _drawn((weights * features).sum(1, keepdim=True), inputs)


def layer_cam(module: nn.Module, inputs: Tensor, targets: Tensor, *, layer: str, batch: int = 8) -> Tensor:
    """Jiang et al., 2021: max(0, Σ_k max(0, ∂y_c/∂A^k) ⊙ A^k)."""
    features, slopes = _slopes(module, inputs, targets, layer, batch)
    return _drawn((slopes.clamp(min=0) * features).sum(1, keepdim=True), inputs)


def integrated_gradients(
    module: nn.Module, inputs: Tensor, targets: Tensor, *, steps: int = 32, batch: int = 32
) -> Tensor:
    """Sundararajan et al., 2017, from the mean colour (zero), absolute values summed over the channels."""
    from captum.attr import IntegratedGradients

    path = IntegratedGradients(module)
    maps = [
        path.attribute(image[None], baselines=0, target=target, n_steps=steps, internal_batch_size=batch)
        for image, target in zip(inputs, targets.tolist(), strict=True)
    ]
    return unit(torch.cat(maps).abs().sum(1, keepdim=True))


def occlusion(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    batch: int = 32,
    probabilities: Probabilities | None = None,
) -> Tensor:
    """Zeiler and Fergus, 2014: square windows of the mean colour (zero).

    window, stride: pixels, default 1/7 and 1/14 of the shorter side (32 and 16 at 224). probabilities:
    default softmax of `module`.
    """
    from captum.attr import Occlusion

    side = min(inputs.shape[2:])
    width = window or max(1, side // 7)
    step = min(stride or max(1, side // 14), width)  # captum wants every pixel covered
    channels = inputs.shape[1]
    windows = Occlusion(probabilities or _softmax(module))
    falls = [
        windows.attribute(
            image[None],
            sliding_window_shapes=(channels, width, width),
            strides=(channels, step, step),
            baselines=0,
            target=target,
            perturbations_per_eval=batch,
        )
        for image, target in zip(inputs, targets.tolist(), strict=True)
    ]
    return unit(torch.cat(falls).mean(1, keepdim=True))


@torch.no_grad()
def rise(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    batch: int = 32,
    probabilities: Probabilities | None = None,
) -> Tensor:
    """Petsiuk et al., 2018: `masks` random masks, each a (cells+1)² grid of coins, up-sampled and shifted.

    What a mask covers fades to the mean colour (zero). The same masks, drawn from `seed` on the CPU, serve
    every image; `batch` bounds memory and does not change them.
    """
    height, width = inputs.shape[2:]
    ask = probabilities or _softmax(module)
    coins = torch.Generator().manual_seed(seed)
    grids = (torch.rand(masks, 1, cells + 1, cells + 1, generator=coins) < keep).to(inputs.dtype)
    shifts = torch.rand(masks, 2, generator=coins)
    tall, wide = math.ceil(height / cells), math.ceil(width / cells)
    total = torch.zeros(len(inputs), height * width, dtype=torch.float64, device=inputs.device)
    covered = torch.zeros(height * width, dtype=torch.float64, device=inputs.device)
    for first in range(0, masks, batch):
        grid = grids[first : first + batch]
        large = F.interpolate(
            grid, ((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False
        )
        crops = []
        for one, (down, across) in zip(large, shifts[first : first + batch].tolist(), strict=True):
            y, x = int(down * tall), int(across * wide)
            crops.append(one[:, y : y + height, x : x + width])
        window = torch.stack(crops).to(inputs.device)
        flat = window.flatten(1).double()
        covered += flat.sum(0)
        for i, target in enumerate(targets.tolist()):
            total[i] += ask(inputs[i : i + 1] * window)[:, target].double() @ flat
    maps = total / covered.clamp(min=torch.finfo(torch.float64).tiny)
    low = maps.amin(1, keepdim=True)
    return unit((maps - low).view(len(inputs), 1, height, width))


def random_mask(
    module: nn.Module | None, inputs: Tensor, targets: Tensor, *, cells: int = 14, seed: int = 0
) -> Tensor:
    """Control: uniform noise on cells×cells, up-sampled bilinearly; another draw for every image.

    Noise by the pixel would not do: it destroys texture everywhere at once and so flatters deletion.
    """
    noise = torch.rand(len(inputs), 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    return unit(F.interpolate(noise, inputs.shape[2:], mode="bilinear", align_corners=False))


def centred_mask(module: nn.Module | None, inputs: Tensor, targets: Tensor, *, sigma: float = 0.25) -> Tensor:
    """Control: a Gaussian in the middle, σ the share `sigma` of each side."""
    bells = []
    for size in inputs.shape[2:]:
        place = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
        bells.append(torch.exp(-(place**2) / (2 * sigma**2)))
    bell = torch.outer(*bells)
    return unit(bell.expand(len(inputs), 1, *bell.shape))


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of `module` that has forgotten its training, the same for the same seed, in eval mode.

    Weights of two or more dimensions are drawn from N(0, 2/fan_in) (He et al., 2015), which keeps the
    signal's size through rectified layers; normalisation layers become the identity and biases zero.
    """
    blank = copy.deepcopy(module).eval()
    draw = torch.Generator().manual_seed(seed)
    normalised = {
        id(p)
        for child in blank.modules()
        if "norm" in type(child).__name__.lower()
        for p in child.parameters(recurse=False)
    }
    with torch.no_grad():
        for name, parameter in blank.named_parameters():
            if parameter.ndim >= 2 and id(parameter) not in normalised:
                fan_in = parameter[0].numel()
                values = torch.randn(parameter.shape, generator=draw) * math.sqrt(2 / fan_in)
                parameter.copy_(values)
            else:
                parameter.fill_(1.0 if id(parameter) in normalised and name.endswith("weight") else 0.0)
        for child in blank.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                child.reset_running_stats()
    return blank


def unit(maps: Tensor) -> Tensor:
    """max(0, map) divided by its maximum, image by image: (N, 1, H, W) in [0, 1]; all zero stays zero."""
    positive = maps.clamp(min=0)
    high = positive.amax((1, 2, 3), keepdim=True)
    return torch.where(high > 0, positive / high, 0.0)


def _slopes(
    module: nn.Module, inputs: Tensor, targets: Tensor, layer: str, batch: int
) -> tuple[Tensor, Tensor]:
    """A and ∂y_c/∂A at `layer`, both (N, K, h, w), `batch` images at a time.

    With ":relu" A is rectified; the slope stays that of the map itself.
    """
    name, tokens, rectify = layer_names.split(layer)
    if tokens:
        raise MethodError(f"layer `{layer}`: the baselines read maps, no tokens")
    try:
        child = module.get_submodule(name)
    except AttributeError:
        names = [n for n, _ in module.named_modules() if n]
        raise MethodError(layer_names.not_found(name, names, [], type(module).__name__)) from None
    last: list[Tensor] = []

    def tap(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        last[:] = [output]
        return output.clone()  # an in-place ReLU may follow and change it

    features, slopes = [], []
    handle = child.register_forward_hook(tap)
    try:
        for images, classes in zip(inputs.split(batch), targets.split(batch), strict=True):
            last.clear()
            with torch.enable_grad():
                # The weights may be frozen: the graph then starts at the image.
                logits = module(images.clone().requires_grad_())
                if not last:
                    raise MethodError(
                        f"layer `{name}` was not reached in this pass; name one that always runs"
                    )
                chosen = logits.gather(1, classes.unsqueeze(1)).sum()
                slopes.append(torch.autograd.grad(chosen, last[0])[0])
            features.append(last[0].detach())
    finally:
        handle.remove()
    found = torch.cat(features)
    if found.ndim != 4:
        raise MethodError(f"layer `{name}` gives {'×'.join(map(str, found.shape[1:]))}, not channels × h × w")
    return found.relu() if rectify else found, torch.cat(slopes)


def _drawn(grid: Tensor, inputs: Tensor) -> Tensor:
    """A map (N, 1, h, w) rectified, at the input size, scaled."""
    return unit(F.interpolate(grid.clamp(min=0), inputs.shape[2:], mode="bilinear", align_corners=False))


def _softmax(module: nn.Module) -> Probabilities:
    return lambda images: module(images).softmax(1)


METHODS: dict[str, Callable[..., Tensor]] = {
    "grad-cam": grad_cam,
    "layer-cam": layer_cam,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
    "rise": rise,
    "random": random_mask,
    "centred": centred_mask,
}
"""Method name → the function that carries it out; its keywords are the options of `explain`."""

NEED_LAYER = frozenset({"grad-cam", "layer-cam"})
