"""Chooses the layer to invert (l0) and the layers whose channels make the mask (l1).

The paper's choice, by network:

    AlexNet      l0 = l1 = pool5, 256×6×6
    VGG          l0 = pool5, 512×7×7; l1 = the last convolution after its ReLU, 512×14×14
    ResNet       l0 = the last map, `layer4`; l1 = the next-to-last convolution's map, rectified

and ours for GoogLeNet and Inception v3: l0 = l1 = the last map of all branches together.

For any other network the choice is automatic: one pass on noise lists all module calls (`probe`); l0 is the last
spatial map before pooling or the first fully connected layer; l1 is the post-activation map one stage before it. The
method needs features that are not negative, because a sum with weights ≥ 0 can then only add evidence; so a map with
negative values gets the suffix `:relu`.

In transformers the layers are token grids, written with the suffix `:tokens`: (h, w, D) in Swin and inside ConvNeXt's
blocks; (1+h·w, D) in ViT, where the class token is left out. The output of a ViT does not depend on the patch tokens
after the last attention, so l0 is the last normalisation whose patch tokens still reach the output.
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
CHANNELS_LAST = ("Linear", "LayerNorm")  # not LayerNorm2d, whose input is a map
MOST_EXTRA_TOKENS = 8  # a class token, a distillation token and a few registers; they come before the patches


@dataclass(frozen=True)
class Call:
    """One call of one module in a forward pass on a single image."""

    name: str
    kind: str
    """The module's class."""
    shape: tuple[int, ...]
    """Of its output, without the batch."""
    signed: bool
    """Whether the output had negative values."""
    leaf: bool
    """Whether the module has no children."""
    output: int
    """`id` of the output tensor: calls with equal values returned the same tensor."""
    inputs: int
    """`id` of the first input tensor."""
    grid: tuple[int, int] | None = None
    """(h, w) if the output is a map or a grid of tokens."""
    tokens: bool = False
    """Whether the output is a grid of tokens: (h, w, D), or (N, D) whose last h·w rows are the patches."""
    unread: bool = False
    """Whether the output has a class token, and the network's output does not depend on its patches."""

    @property
    def spatial(self) -> bool:
        """Whether the output is a map or a grid of tokens with more than one cell."""
        return self.grid is not None and self.grid[0] * self.grid[1] > 1

    @property
    def extra(self) -> int:
        """The number of tokens that are not patches."""
        if self.grid is None or not self.tokens or len(self.shape) == 3:
            return 0
        return self.shape[0] - self.grid[0] * self.grid[1]

    @property
    def layer(self) -> str:
        """The layer name for l1, with the suffixes that make its output a map without negative values."""
        return self.name + TOKENS * self.tokens + RELU * self.signed


def probe(module: nn.Module, channels: int, size: tuple[int, int]) -> tuple[list[Call], Tensor]:
    """All calls whose output is a tensor, in order of completion, and the network's output (1, K), on seeded noise.

    size: (H, W) of the input. A module that runs several times appears several times. Raises MethodError if the
    network does not accept such an image or does not return one tensor (N, K).
    """
    calls: list[Call] = []
    outputs: list[Tensor] = []  # of the calls: `id` is unique only while the tensors exist
    sources: list[object] = []  # their first inputs

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            outputs.append(output)
            sources.append(inputs[0] if inputs else None)
            calls.append(
                Call(
                    name,
                    type(module).__name__,
                    tuple(output.shape[1:]),
                    bool((output < 0).any()),
                    not any(module.children()),
                    id(output),
                    id(sources[-1]),
                )
            )

        return modules[name].register_forward_hook(hook)

    modules = {name: child for name, child in module.named_modules() if name}
    handles = [watch(name) for name in modules]
    parameter = next(module.parameters(), torch.empty(0))
    noise = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(0)).to(parameter)
    try:
        with torch.enable_grad():  # autograd records which outputs depend on the image
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
    calls = _with_grids(calls, size, [tensor.requires_grad for tensor in outputs])
    unread = _unread(calls, outputs, sources, output)
    return [replace(call, unread=i in unread) for i, call in enumerate(calls)], output.detach()


def _with_grids(calls: Sequence[Call], size: tuple[int, int], image_dependent: Sequence[bool]) -> list[Call]:
    """The calls with `grid` and `tokens` filled in.

    size: (H, W) of the image. image_dependent: whether each output depends on the image.

    Channels are the last axis if a fully connected layer or a LayerNorm returned the same shape. Such networks also
    have windows, heads and tables of positions; only a grid has the proportions of the image.
    """
    last = {call.shape for call in calls if call.kind in CHANNELS_LAST and len(call.shape) in (2, 3)}

    def like_the_image(grid: tuple[int, int]) -> bool:
        return abs(grid[0] * size[1] - grid[1] * size[0]) <= max(size)  # up to rounding by one cell

    completed = []
    latest: tuple[int, int] | None = None  # the grid of the map that the patches come from
    for call, depends in zip(calls, image_dependent, strict=True):
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
        completed.append(replace(call, grid=grid, tokens=tokens and grid is not None))
    return completed


def _unread(
    calls: Sequence[Call], outputs: Sequence[Tensor], sources: Sequence[object], output: Tensor
) -> set[int]:
    """Indices of the LayerNorms with a class token whose patch tokens do not reach the classifier's last layer."""
    which = [i for i, call in enumerate(calls) if call.extra and call.kind == "LayerNorm"]
    if not which:
        return set()
    # The input of the last layer, not its output: in torchvision's ViT the last layer is initialised with zeros.
    end = next(
        (i for i, call in enumerate(calls) if call.output == id(output) and call.kind == "Linear"), None
    )
    read = output if end is None else sources[end]
    assert isinstance(read, Tensor)
    some = torch.randn(read.shape, generator=torch.Generator().manual_seed(1)).to(read)
    slopes = torch.autograd.grad(read, [outputs[i] for i in which], some, allow_unused=True)
    return {
        i
        for i, slope in zip(which, slopes, strict=True)
        if slope is None or not slope[:, calls[i].extra :].any()
    }


@dataclass(frozen=True)
class LayerChoice:
    """The layers of an explanation and how they were chosen."""

    layers: Layers
    how: str
    """"preset" (known for this architecture), "automatic", "model" (named in the model file) or "given" (by the
    caller)."""


def choose(
    module: nn.Module, calls: Sequence[Call], recipe: Recipe, own_layers: Layers | None = None
) -> LayerChoice:
    """The layers that `recipe` uses on a network.

    Those of its model file (own_layers), or those known for its architecture, or the automatic choice; `released` then
    takes l0 for both purposes, and `tuned` chooses l1 by itself. calls: of `probe`. Raises MethodError if the network
    has no suitable map.
    """
    layers, how = own_layers, "model"
    if layers is None:
        layers, how = known_layers(module), "preset"
    if layers is None:
        layers, how = automatic(calls), "automatic"
    if recipe.one_layer:
        layers = Layers(layers.inverted, (rectified(layers.inverted, calls),))
    if recipe.two_grids:
        layers = on_two_grids(layers.inverted, calls)
    return LayerChoice(layers, how)


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
    # Where branches are joined, the last activation belongs to one branch only; the joined map is rectified already.
    if isinstance(module, models.GoogLeNet):
        return Layers("inception5b", ("inception5b",))
    if isinstance(module, models.Inception3):
        return Layers("Mixed_7c", ("Mixed_7c",))
    if type(module).__module__.startswith("efficientnet_lite_pytorch"):
        # One module `_swish`, a ReLU6, serves all stages; its last call gives the last map, 1280×7×7.
        return Layers("_swish", ("_swish",))
    return None


def automatic(calls: Sequence[Call]) -> Layers:
    """l0: the last map. l1: the post-activation map before it. For networks whose layers are not known."""
    maps = [
        i
        for i, call in enumerate(calls)
        if call.spatial
        and not POOLING.search(call.kind)
        and not (call.extra and (call.unread or call.kind != "LayerNorm"))
    ]
    if not maps:
        raise MethodError("the network has no spatial feature map to explain with; name its layers")
    inverted = calls[maps[-1]]
    assert inverted.grid is not None
    height, width = inverted.grid
    before = [
        i
        for i, call in enumerate(calls[: maps[-1]])
        if call.spatial
        and call.output != inverted.output
        and not POOLING.search(call.kind)
        and call.grid is not None
        and call.grid[0] >= height
        and call.grid[1] >= width
    ]
    mask_layer = _rectified_map(calls, before) or inverted.layer
    return Layers(inverted.name + TOKENS * inverted.tokens, (mask_layer,))


def on_two_grids(inverted: str, calls: Sequence[Call]) -> Layers:
    """Layers of `tuned`: l1 is l0 itself and, if there is one, the last rectified map on the finer grid before it."""
    own = rectified(inverted, calls)
    end = max(i for i, call in enumerate(calls) if call.name == layer_names.parse_layer(inverted).name)
    grid = calls[end].grid
    if grid is None or not calls[end].spatial:
        raise MethodError(f"layer `{inverted}` is not a map; preset `tuned` starts from Grad-CAM's map there")
    finer = [
        i
        for i, call in enumerate(calls[:end])
        if call.grid is not None
        and call.grid[0] > grid[0]
        and call.grid[1] > grid[1]
        and call.leaf
        and (ACTIVATION.search(call.kind) or PRODUCER.search(call.kind))  # no padded map
    ]
    if finer:
        finer = [i for i in finer if calls[i].grid == calls[finer[-1]].grid]
    finer_map = _rectified_map(calls, finer)
    return Layers(inverted, (own, finer_map) if finer_map else (own,))


def _rectified_map(calls: Sequence[Call], among: Sequence[int]) -> str | None:
    """The last post-activation map among the calls with these indices, by a name that means exactly this call."""
    final = {call.name: i for i, call in enumerate(calls)}
    for i in reversed(among):
        call = calls[i]
        if not (call.leaf and ACTIVATION.search(call.kind)):
            continue
        if final[call.name] == i:
            return call.layer
        # If the activation runs again later, its name means the later call: use the module that fed this one.
        for j in reversed(range(i)):
            if calls[j].output == call.inputs and final[calls[j].name] == j:
                return calls[j].name + TOKENS * calls[j].tokens + RELU
    for i in reversed(
        among
    ):  # activations that are functions, not modules: rectify the module that feeds them
        call = calls[i]
        if call.leaf and PRODUCER.search(call.kind) and final[call.name] == i:
            return call.layer
    return None


def rectified(layer: str, calls: Sequence[Call]) -> str:
    """`layer`, with the suffix `:relu` added if its last call returned negative values."""
    if layer.endswith(RELU):
        return layer
    last = next(call for call in reversed(calls) if call.name == layer_names.parse_layer(layer).name)
    return layer + RELU * last.signed
