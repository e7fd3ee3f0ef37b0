"""Which layers to invert (l0) and whose channels to weigh (l1).

The paper's choice, by network:

    AlexNet      l0 = l1 = pool5, 256×6×6
    VGG          l0 = pool5, 512×7×7; l1 = the last convolution after its ReLU, 512×14×14
    ResNet       l0 = the last map, `layer4`; l1 = the next-to-last convolution's map, rectified

and ours for GoogLeNet and Inception v3: l0 = l1 = the last map of all branches together.

Any other CNN is looked at instead of known by name (`automatic`): one pass on noise lists every module's
calls (`probe`), l0 is the last spatial map before pooling or the first fully connected layer, l1 the
post-activation map one stage below it. The method needs features that are not negative - a sum with weights
≥ 0 can then only add evidence - so a map that is signed gets the suffix `:relu`.

Transformers are read through their token grids, written with the suffix `:tokens`: (h, w, D) in Swin and inside
ConvNeXt's blocks; (1+h·w, D) in ViT, without the class token. In a ViT the patch tokens behind the last attention
are read by nobody, so l0 is the last normalisation whose patch tokens still reach the output.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gfi.domain import layer_names
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import RELU, TOKENS, Layers
from gfi.domain.recipes import Recipe

ACTIVATION = re.compile(r"relu|elu|silu|gelu|swish|mish|softplus|celu", re.IGNORECASE)
POOLING = re.compile(r"adaptive|global", re.IGNORECASE)
PRODUCER = re.compile(r"conv|norm", re.IGNORECASE)
CHANNELS_LAST = ("Linear", "LayerNorm")  # not LayerNorm2d, which takes maps
MOST_EXTRA_TOKENS = 8  # a class token, one for distillation, a few registers; they stand before the patches


@dataclass(frozen=True)
class Call:
    """One call of one module in a forward pass on a single image."""

    name: str
    kind: str
    """The module's class."""
    shape: tuple[int, ...]
    """Of its output, without the batch."""
    signed: bool
    """The output had negative values."""
    leaf: bool
    """The module has no children."""
    output: int
    """Identity of the output tensor: calls with equal values handed on one tensor."""
    inputs: int
    """Identity of the first input tensor."""
    grid: tuple[int, int] | None = None
    """(h, w) where the output is a map or a grid of tokens."""
    tokens: bool = False
    """The output is a grid of tokens: (h, w, D), or (N, D) whose last h·w rows are the patches."""
    unread: bool = False
    """Tokens with a class token whose patches the output does not depend on."""

    @property
    def spatial(self) -> bool:
        """A map or a grid of tokens of more than one cell."""
        return self.grid is not None and self.grid[0] * self.grid[1] > 1

    @property
    def extra(self) -> int:
        """Tokens that are no patches."""
        if self.grid is None or not self.tokens or len(self.shape) == 3:
            return 0
        return self.shape[0] - self.grid[0] * self.grid[1]

    @property
    def layer(self) -> str:
        """The layer as it is written to weigh its channels: the name, and what makes it a map that is not negative."""
        return self.name + TOKENS * self.tokens + RELU * self.signed


def probe(module: nn.Module, channels: int, size: tuple[int, int]) -> tuple[list[Call], Tensor]:
    """Every call whose output is a tensor, in order of completion, and the output (1, K), on seeded noise.

    A module that runs several times appears several times.
    """
    calls: list[Call] = []
    outputs: list[Tensor] = []  # of the calls; identities stay unique while the tensors live
    sources: list[object] = []

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            outputs.append(output)
            sources.append(inputs[0] if inputs else None)
            calls.append(Call(
                name, type(module).__name__, tuple(output.shape[1:]), bool((output < 0).any()),
                not any(module.children()), id(output), id(sources[-1]),
            ))  # fmt: skip

        return modules[name].register_forward_hook(hook)

    modules = {name: child for name, child in module.named_modules() if name}
    handles = [watch(name) for name in modules]
    parameter = next(module.parameters(), torch.empty(0))
    noise = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(0)).to(parameter)
    try:
        with torch.enable_grad():  # autograd knows what depends on the image
            output = module(noise.requires_grad_().clone())
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MethodError(
            f"the network does not take an image of {channels}×{size[0]}×{size[1]} ({text});"
            " set its input size and channels"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise MethodError(f"a classifier's output is one (N, classes) tensor, not {shape}")
    calls = _with_grids(calls, size, [each.requires_grad for each in outputs])
    unread = _unread(calls, outputs, sources, output)
    return [replace(call, unread=i in unread) for i, call in enumerate(calls)], output.detach()


def _with_grids(calls: Sequence[Call], size: tuple[int, int], of_the_image: Sequence[bool]) -> list[Call]:
    """The calls with what their axes mean. size: (H, W) of the image.

    Channels are the last axis wherever a fully connected layer or a LayerNorm gave the same shape. Such networks
    also make windows, heads and tables of positions; a grid has the proportions of the image.
    """
    last = {call.shape for call in calls if call.kind in CHANNELS_LAST and len(call.shape) in (2, 3)}

    def like_the_image(grid: tuple[int, int]) -> bool:
        return abs(grid[0] * size[1] - grid[1] * size[0]) <= max(size)  # the rounding of one cell

    found = []
    latest: tuple[int, int] | None = None  # of the map that patches were cut from
    for call, depends in zip(calls, of_the_image, strict=True):
        shape, grid, tokens = call.shape, None, False
        if len(shape) == 3 and depends:
            tokens = shape in last
            grid = (shape[0], shape[1]) if tokens else (shape[1], shape[2])
            if last and max(grid) > 1 and not like_the_image(grid):
                grid = None
            elif not tokens and grid[0] * grid[1] > 1:
                latest = grid
        elif len(shape) == 2 and depends and latest is not None:
            tokens = 0 <= shape[0] - latest[0] * latest[1] <= MOST_EXTRA_TOKENS
            grid = latest if tokens else None
        found.append(replace(call, grid=grid, tokens=tokens and grid is not None))
    return found


def _unread(
    calls: Sequence[Call], outputs: Sequence[Tensor], sources: Sequence[object], output: Tensor
) -> set[int]:
    """Indices of the normalised tokens with a class token whose patches do not reach the head."""
    which = [i for i, call in enumerate(calls) if call.extra and call.kind == "LayerNorm"]
    if not which:
        return set()
    # What the head reads, rather than what it says: torchvision's ViT begins with a head of zeros.
    end = next(
        (i for i, call in enumerate(calls) if call.output == id(output) and call.kind == "Linear"), None
    )
    read = output if end is None else sources[end]
    assert isinstance(read, Tensor)
    some = torch.randn(read.shape, generator=torch.Generator().manual_seed(1)).to(read)
    slopes = torch.autograd.grad(read, [outputs[i] for i in which], some, allow_unused=True)
    return {
        i for i, slope in zip(which, slopes, strict=True)
        if slope is None or not slope[:, calls[i].extra :].any()
    }  # fmt: skip


@dataclass(frozen=True)
class LayerChoice:
    """A choice and where it came from."""

    layers: Layers
    how: str
    """"preset" (known by architecture: the paper's, and a few of ours), "automatic", "model" (its file says so) or
    "given"."""


def choose(module: nn.Module, calls: Sequence[Call], recipe: Recipe) -> LayerChoice:
    """The layers written down here where the architecture is known, otherwise the automatic choice."""
    layers, how = known_layers(module), "preset"
    if layers is None:
        layers, how = automatic(calls), "automatic"
    if recipe.one_layer:
        layers = Layers(layers.inverted, (rectified(layers.inverted, calls),))
    if recipe.two_grids:
        layers = on_two_grids(layers.inverted, calls)
    return LayerChoice(layers, how)


def default_preset(module: nn.Module) -> str:
    """`tuned`; on AlexNet, VGG and ResNet, the paper's own networks, the method as printed: `paper`. (Which of the two
    is better there has not been measured: their weights cannot be had here.)"""
    from torchvision import models

    return "paper" if isinstance(module, models.AlexNet | models.VGG | models.ResNet) else "tuned"


def known_layers(module: nn.Module) -> Layers | None:
    """The layers of torchvision's AlexNet, VGG, ResNet, GoogLeNet and Inception v3 and of the sample, or None."""
    from torchvision import models

    if isinstance(module, models.AlexNet):
        return Layers("features.12", ("features.12",))
    if isinstance(module, models.VGG):
        last = len(module.features) - 1  # pool5; its ReLU comes directly before
        return Layers(f"features.{last}", (f"features.{last - 1}",))
    if isinstance(module, models.ResNet):
        last = len(module.layer4) - 1
        norm = "bn1" if isinstance(module.layer4[last], models.resnet.BasicBlock) else "bn2"
        return Layers("layer4", (f"layer4.{last}.{norm}{RELU}",))
    # Where branches are joined, the last activation is of one branch only; the joined map is rectified already.
    if isinstance(module, models.GoogLeNet):
        return Layers("inception5b", ("inception5b",))
    if isinstance(module, models.Inception3):
        return Layers("Mixed_7c", ("Mixed_7c",))
    if type(module).__module__.startswith("efficientnet_lite_pytorch"):
        # `_swish` is the ReLU6 of stem and head alike; its last call is the head's, 1280×7×7.
        return Layers("_swish", ("_swish",))
    return None


def automatic(calls: Sequence[Call]) -> Layers:
    """The last map, and the post-activation map before it, for a network nobody has chosen for."""
    maps = [
        i for i, call in enumerate(calls)
        if call.spatial and not POOLING.search(call.kind)
        and not (call.extra and (call.unread or call.kind != "LayerNorm"))
    ]  # fmt: skip
    if not maps:
        raise MethodError("the network has no spatial feature map to explain with; name its layers")
    inverted = calls[maps[-1]]
    assert inverted.grid is not None
    height, width = inverted.grid
    before = [
        i for i, call in enumerate(calls[: maps[-1]])
        if call.spatial and call.output != inverted.output and not POOLING.search(call.kind)
        and call.grid is not None and call.grid[0] >= height and call.grid[1] >= width
    ]  # fmt: skip
    found = _rectified_map(calls, before)
    return Layers(inverted.name + TOKENS * inverted.tokens, (found or inverted.layer,))


def on_two_grids(inverted: str, calls: Sequence[Call]) -> Layers:
    """l1 of `tuned`: l0 itself and the last rectified map on the finer grid before it, if there is one."""
    own = rectified(inverted, calls)
    end = max(i for i, call in enumerate(calls) if call.name == layer_names.parse_layer(inverted).name)
    grid = calls[end].grid
    if grid is None or not calls[end].spatial:
        raise MethodError(f"layer `{inverted}` is not a map; preset `tuned` starts from Grad-CAM's map there")
    finer = [
        i for i, call in enumerate(calls[:end])
        if call.grid is not None and call.grid[0] > grid[0] and call.grid[1] > grid[1]
        and call.leaf and (ACTIVATION.search(call.kind) or PRODUCER.search(call.kind))  # no padded map
    ]  # fmt: skip
    if finer:
        finer = [i for i in finer if calls[i].grid == calls[finer[-1]].grid]
    found = _rectified_map(calls, finer)
    return Layers(inverted, (own, found) if found else (own,))


def _rectified_map(calls: Sequence[Call], among: Sequence[int]) -> str | None:
    """The last post-activation map among these calls, by a name that means it."""
    final = {call.name: i for i, call in enumerate(calls)}
    for i in reversed(among):
        call = calls[i]
        if not (call.leaf and ACTIVATION.search(call.kind)):
            continue
        if final[call.name] == i:
            return call.layer
        # An activation that runs again later can only be named by what fed this call of it.
        for j in reversed(range(i)):
            if calls[j].output == call.inputs and final[calls[j].name] == j:
                return calls[j].name + TOKENS * calls[j].tokens + RELU
    for i in reversed(among):  # activations that are no modules: rectify what feeds them
        call = calls[i]
        if call.leaf and PRODUCER.search(call.kind) and final[call.name] == i:
            return call.layer
    return None


def rectified(layer: str, calls: Sequence[Call]) -> str:
    """`layer`, with the suffix `:relu` if its last call gave negative values."""
    if layer.endswith(RELU):
        return layer
    last = next(call for call in reversed(calls) if call.name == layer_names.parse_layer(layer).name)
    return layer + RELU * last.signed
