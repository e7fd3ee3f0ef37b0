"""Checks whether a network can be explained, once: when a model is registered or a bare module is first used.

The method needs ∂f/∂x, and a mask must depend on its own image alone. The output for the same image is computed twice,
in two slots of a batch and with two other images; all outputs must agree. In evaluation mode they do, unless the
network takes statistics of the batch (BatchNorm without running statistics, means over the batch) or draws random
numbers (`F.dropout` without `training=`, a `train()` that ignores its argument).
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gfi.domain import layer_names
from gfi.domain.errors import MethodError
from gfi.domain.presets import PRESETS

if TYPE_CHECKING:
    from gfi.method.classifiers import Classifier

ROUNDING = 1e-3
"""The largest difference between two outputs, relative to the largest output, that counts as rounding. Batches of
one and two images differ by 1e-6 in float32."""

OVERRIDE = "with allow_nondeterministic = true (in a model file) it is explained nevertheless, and the results say so"


class NotRepeatable(MethodError):
    """The network's output for an image depends on chance or on the other images of the batch."""


def check_suitable(classifier: "Classifier") -> str | None:
    """Raise MethodError, with the reason and what to do, unless the network can be explained.

    Returns None, or, with `classifier.allow_nondeterministic`, why its outputs are not repeatable.
    """
    if classifier.doubt is not None:
        raise MethodError(classifier.doubt)
    if classifier.classes == 1 and classifier.output == "softmax":
        raise MethodError(
            "the network has a single output, and the softmax of one output is 1 for every image;"
            ' set output = "sigmoid" (or "probabilities"), or give the network an output per class'
        )
    reason = unrepeatable(classifier)
    if reason is not None and not classifier.allow_nondeterministic:
        raise NotRepeatable(f"{reason}; {OVERRIDE}")
    _check_gradients(classifier)
    return reason


def unrepeatable(classifier: "Classifier") -> str | None:
    """Why the network's answer for an image depends on chance or on others, with the modules at fault.."""
    image, one, other = _images(classifier)
    module = classifier.module
    with torch.no_grad():
        before = torch.get_rng_state()
        alone = module(image)
        drawn = not torch.equal(before, torch.get_rng_state())
        again = module(image)
        first = module(torch.cat([image, one]))[:1]
        second = module(torch.cat([other, image]))[1:]
    if drawn or _differ(alone, again):
        fault = "the network draws random numbers in evaluation mode"
        if not drawn:
            fault = (
                "the network answers differently when it is asked twice for the same image"
                f" (outputs differ by {_difference(alone, again):.2g})"
            )
        return (
            fault
            + _training(module)
            + "; write F.dropout(x, p, training=self.training), or let train() and eval() reach every module"
        )
    if _differ(alone, first) or _differ(first, second):
        worst = max(_difference(alone, first), _difference(first, second))
        return (
            "the network's answer for an image depends on the images beside it in the batch"
            f" (outputs differ by {worst:.2g})"
            + _batch_statistics(module)
            + "; use running statistics (track_running_stats=True), GroupNorm or LayerNorm, and no mean over the batch"
        )
    return None


def _check_gradients(classifier: "Classifier") -> None:
    """Raise MethodError unless gradients of outputs and of the layers to invert reach the image."""
    image, one, _ = _images(classifier)
    module = classifier.module
    has_gradient: dict[str, bool] = {}

    def hook_for(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor):
                has_gradient[name] = output.requires_grad

        return module.get_submodule(name).register_forward_hook(hook)

    handles = [hook_for(name) for name in _inverted(classifier)]
    advice = "remove .detach(), .data and torch.no_grad() from forward()"
    try:
        with torch.enable_grad():
            source = image.clone().requires_grad_()
            output = module(source.clone())
            if not output.requires_grad:
                raise MethodError(f"no gradient leads from the network's output to the image: {advice}")
            some = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output)
            (slope,) = torch.autograd.grad(output, source, some, allow_unused=True)
    except RuntimeError as error:
        text = str(error).strip().splitlines()[0]
        if "checkpoint" in str(error).lower():
            raise MethodError(
                "the network uses reentrant activation checkpoints, through which torch gives no gradient of the"
                " image: call torch.utils.checkpoint.checkpoint(…, use_reentrant=False), or switch checkpoints off"
            ) from error
        raise MethodError(f"the network has no gradient of its image: {text}") from error
    finally:
        for handle in handles:
            handle.remove()
    detached = [name for name, gradient in has_gradient.items() if not gradient]
    if detached:
        raise MethodError(
            f"no gradient leads from layer `{detached[0]}`, which is inverted, to the image: {advice}, or name another"
            " layer"
        )
    if slope is None:
        raise MethodError(f"no gradient leads from the network's output to the image: {advice}")
    if not slope.any():
        with torch.no_grad():
            constant = torch.equal(module(image), module(one))
        if not constant:
            raise MethodError(
                "the gradient of the network's output is zero for every pixel, though the output depends on the image:"
                " a step (sign, round, argmax, a comparison) is in its way"
            )


def _inverted(classifier: "Classifier") -> set[str]:
    """The modules that the presets invert on this network."""
    names = set()
    for recipe in PRESETS.values():
        try:
            names.add(layer_names.parse_layer(classifier.layers_for(recipe).inverted).name)
        except MethodError:
            continue
    return names


def _images(classifier: "Classifier") -> tuple[Tensor, Tensor, Tensor]:
    """Three images (1, C, H, W) of noise with different means and contrasts, in the network's type."""
    shape = (3, 1, classifier.preprocess.channels, *classifier.preprocess.size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    noise = noise.to(next(classifier.module.parameters(), torch.empty(0)))
    return noise[0], 3 * noise[1] + 1, 0.3 * noise[2] - 2


def _difference(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()


def _differ(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs differ by more than rounding."""
    scale = one.abs().nan_to_num(0.0).max().item()
    return not torch.allclose(one, other, rtol=0.0, atol=ROUNDING * scale, equal_nan=True)


def _training(module: nn.Module) -> str:
    """The modules that stayed in training mode after eval(), for the end of a message."""
    return _named(
        "stays in training mode", [n or "the network" for n, m in module.named_modules() if m.training]
    )


def _batch_statistics(module: nn.Module) -> str:
    """The BatchNorms that take the statistics of the batch, for the end of a message."""
    norms = [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.modules.batchnorm._BatchNorm)
        and (child.running_mean is None or child.training)
    ]
    return _named("takes its statistics from the batch", norms)


def _named(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f": `{names[0]}`{more} {what}" if names else ""
