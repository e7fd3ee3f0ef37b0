"""Which layers to invert (l0) and whose channels to weigh (l1).

The paper's choice, by network:

    AlexNet      l0 = l1 = pool5, 256×6×6
    VGG          l0 = pool5, 512×7×7; l1 = the last convolution after its ReLU, 512×14×14
    ResNet       l0 = the last map, `layer4`; l1 = the next-to-last convolution's map, rectified

Any other CNN is looked at instead of known by name (`automatic`): one pass on noise lists every module's
calls (`probe`), l0 is the last spatial map before pooling or the first fully connected layer, l1 the
post-activation map one stage below it. The method needs features that are not negative - a sum with weights
≥ 0 can then only add evidence - so a map that is signed gets the suffix `:relu`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gfi import layer_names
from gfi.errors import MethodError
from gfi.layer_names import RELU, Layers
from gfi.recipes import Recipe

ACTIVATION = re.compile(r"relu|elu|silu|gelu|swish|mish|softplus|celu", re.IGNORECASE)
POOLING = re.compile(r"adaptive|global", re.IGNORECASE)
PRODUCER = re.compile(r"conv|norm", re.IGNORECASE)


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

    @property
    def spatial(self) -> bool:
        """(C, h, w) with more than one cell: a map."""
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1


@torch.no_grad()
def probe(module: nn.Module, channels: int, size: tuple[int, int]) -> tuple[list[Call], Tensor]:
    """Every call whose output is a tensor, in order of completion, and the output (1, K), on seeded noise.

    A module that runs several times appears several times.
    """
    calls: list[Call] = []
    alive: list[object] = []  # identities stay unique while the tensors live

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            source = inputs[0] if inputs else None
            alive.extend((output, source))
            calls.append(Call(
                name, type(module).__name__, tuple(output.shape[1:]), bool((output < 0).any()),
                not any(module.children()), id(output), id(source),
            ))  # fmt: skip

        return modules[name].register_forward_hook(hook)

    modules = {name: child for name, child in module.named_modules() if name}
    handles = [watch(name) for name in modules]
    parameter = next(module.parameters(), torch.empty(0))
    noise = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(0)).to(parameter)
    try:
        output = module(noise)
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
    return calls, output


@dataclass(frozen=True)
class Chosen:
    """A choice and where it came from."""

    layers: Layers
    how: str
    """"preset" (the paper's, by architecture), "automatic", "model" (its file says so) or "given"."""


def choose(module: nn.Module, calls: Sequence[Call], recipe: Recipe) -> Chosen:
    """The paper's layers where the architecture is known, otherwise the automatic choice."""
    layers, how = preset(module), "preset"
    if layers is None:
        layers, how = automatic(calls), "automatic"
    if recipe.one_layer:
        layers = Layers(layers.inverted, (rectified(layers.inverted, calls),))
    if recipe.two_grids:
        layers = on_two_grids(layers.inverted, calls)
    return Chosen(layers, how)


def preset(module: nn.Module) -> Layers | None:
    """The paper's layers for torchvision's AlexNet, VGG and ResNet and the sample classifier, or None."""
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
    if type(module).__module__.startswith("efficientnet_lite_pytorch"):
        # `_swish` is the ReLU6 of stem and head alike; its last call is the head's, 1280×7×7.
        return Layers("_swish", ("_swish",))
    return None


def automatic(calls: Sequence[Call]) -> Layers:
    """The last map, and the post-activation map before it, for a network nobody has chosen for."""
    maps = [i for i, call in enumerate(calls) if call.spatial and not POOLING.search(call.kind)]
    if not maps:
        raise MethodError("the network has no spatial feature map to explain with; name its layers")
    inverted = calls[maps[-1]]
    before = [
        i for i in maps
        if calls[i].output != inverted.output
        and calls[i].shape[1] >= inverted.shape[1] and calls[i].shape[2] >= inverted.shape[2]
    ]  # fmt: skip
    found = _rectified_map(calls, before)
    return Layers(inverted.name, (found or rectified(inverted.name, calls),))


def on_two_grids(inverted: str, calls: Sequence[Call]) -> Layers:
    """l1 of `tuned`: l0 itself and the last rectified map on the finer grid before it, if there is one."""
    own = rectified(inverted, calls)
    end = max(i for i, call in enumerate(calls) if call.name == layer_names.split(inverted)[0])
    if not calls[end].spatial:
        raise MethodError(f"layer `{inverted}` is not a map; preset `tuned` starts from Grad-CAM's map there")
    _, height, width = calls[end].shape
    finer = [
        i for i, call in enumerate(calls[:end])
        if call.spatial and call.shape[1] > height and call.shape[2] > width
        and call.leaf and (ACTIVATION.search(call.kind) or PRODUCER.search(call.kind))  # no padded map
    ]  # fmt: skip
    if finer:
        _, tall, wide = calls[finer[-1]].shape
        finer = [i for i in finer if calls[i].shape[1:] == (tall, wide)]
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
            return rectified(call.name, calls)
        # An activation that runs again later can only be named by what fed this call of it.
        for j in reversed(range(i)):
            if calls[j].output == call.inputs and final[calls[j].name] == j:
                return calls[j].name + RELU
    for i in reversed(among):  # activations that are no modules: rectify what feeds them
        call = calls[i]
        if call.leaf and PRODUCER.search(call.kind) and final[call.name] == i:
            return rectified(call.name, calls)
    return None


def rectified(layer: str, calls: Sequence[Call]) -> str:
    """`layer`, with the suffix `:relu` if its last call gave negative values."""
    if layer.endswith(RELU):
        return layer
    last = next(call for call in reversed(calls) if call.name == layer)
    return layer + RELU * last.signed
