"""A classifier on one device in one precision, with access to its layers: f, f^{l0} and f^{l1}.

The method needs three kinds of pass: `examine`, once on the images; `representation` in stage 1, which ends at l0 and
does not run the rest of the network; and `probabilities` in stage 2. A start from Grad-CAM adds one, `grad_cam`.
Parameters need no gradient, so autograd only follows the image.
"""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gfi.domain import layer_names
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import TOKENS, Layers
from gfi.method import batch_invariance, masks
from gfi.method.classifiers import Classifier, copied
from gfi.method.head import head_of
from gfi.method.layers import Call
from gfi.method.leaves import leaves
from gfi.method.masks import Upsampling


class Examined(NamedTuple):
    """Probabilities and features of the images themselves."""

    probabilities: Tensor
    """f(x), (B, K)."""
    representation: Tensor
    """f^{l0}(x), (B, …)."""
    mask_features: Tensor
    """f^{l1}(x), (B, channels, h, w)."""
    pooled: Tensor | None = None
    """The input of the last linear layer (`gfi.method.head`), (B, D) float32; None for a network without one."""


class _LayerReached(Exception):
    """Raised by a hook to end a forward pass at its layer."""


class Network:
    """A private copy of a classifier. Its hooks are in place only during its own passes.

    dtype: the network's own arithmetic. With bfloat16, images, features and probabilities are float32 nevertheless.
    channels_last: the memory layout of images and weights.
    """

    def __init__(
        self,
        classifier: Classifier,
        layers: Layers,
        device: torch.device,
        dtype: torch.dtype,
        channels_last: bool,
    ) -> None:
        layer_names.check_layers(layers, [(c.name, c.kind) for c in classifier.calls], classifier.reference)
        self.layers = layers
        self._preprocess = classifier.preprocess
        self._device = device
        calls = {call.name: call for call in classifier.calls}
        self._grids = {
            layer: _grid(layer, calls[layer_names.parse_layer(layer).name]) for layer in layers.names
        }
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        module = copied(classifier.module).eval().requires_grad_(False)
        batch_invariance.make_batch_invariant(module)
        self.module = module.to(device=device, dtype=dtype, memory_format=self.memory_format)  # type: ignore[call-overload]
        self._network_dtype = dtype
        # The dtype of masks, weights and losses. bfloat16 has eight bits, too few for sums over a mask and
        # for steps of 1 %.
        self.dtype = torch.float32 if dtype == torch.bfloat16 else dtype
        self._for_classes, self._as_probabilities = classifier.for_classes, classifier.as_probabilities
        self._softmax = classifier.output == "softmax"
        self._head = head_of(classifier)
        self._passes = {
            name: sum(c.name == name for c in classifier.calls)
            for name in (layer_names.parse_layer(layer).name for layer in layers.names)
        }

    @cached_property
    def leaves(self) -> Tensor:
        """The bank of `gfi.method.leaves` as inputs of this network, (8, C, H, W)."""
        bank = leaves(self._preprocess).to(self._device, self.dtype)
        return bank.contiguous(memory_format=self.memory_format)

    @torch.no_grad()
    def examine(self, images: Tensor, centred: bool = False) -> Examined:
        """One complete pass over images (B, C, H, W). centred: apply `masks.centre` to the channels of l1."""
        with self._reading_head() as pooled:
            logits, outputs = self._run(images, self.layers.names, to_the_end=True)
        maps = [outputs[layer] for layer in self.layers.mask_layers]
        for layer, features in zip(self.layers.mask_layers, maps, strict=True):
            if features.ndim != 4 or features.shape[2] * features.shape[3] < 2:
                shape = "×".join(map(str, features.shape[1:]))
                raise MethodError(f"layer `{layer}` gives {shape}; a mask is made from channels × h × w")
        return Examined(
            self._as_probabilities(logits),
            outputs[self.layers.inverted],
            _joined(maps, centred),
            pooled[-1] if pooled and pooled[-1].ndim == 2 else None,
        )

    @contextlib.contextmanager
    def _reading_head(self) -> Iterator[list[Tensor]]:
        """The inputs of the head in the passes inside the block; of a network without one, none."""
        inputs: list[Tensor] = []

        def hook(module: nn.Module, given: tuple) -> None:
            inputs.append(given[0].detach().float().clone())

        if self._head is None:
            yield inputs
            return
        handle = self.module.get_submodule(self._head).register_forward_pre_hook(hook)
        try:
            yield inputs
        finally:
            handle.remove()

    def scores(self, images: Tensor, targets: Tensor, foils: Tensor, *, centred: bool = False) -> Tensor:
        """y_c of images (B, C, H, W), or y_c − y_foil where the foil is not negative, (B,), with gradient.

        y are the network's outputs. centred: before a softmax, which ignores what all outputs share, subtract their
        mean: on trained networks it is nearly zero, but on random ones a class may otherwise have no evidence.
        """
        outputs = self._logits(images)
        if centred and self._softmax:
            outputs = outputs - outputs.mean(1, keepdim=True)
        y = outputs.gather(1, targets.unsqueeze(1)).squeeze(1)
        y_foil = outputs.gather(1, foils.clamp_min(0).unsqueeze(1)).squeeze(1)
        return y - torch.where(foils >= 0, y_foil, torch.zeros_like(y_foil))

    def grad_cam(
        self, images: Tensor, targets: Tensor, foils: Tensor | None = None, *, centred: bool = True
    ) -> Tensor:
        """Grad-CAM's map at l0, not rectified:

            Σ_k α_k f_k^{l0},   α_k = mean over the map of ∂y_c/∂f_k^{l0}

        images: (B, C, H, W). targets: c, (B,). foils: (B,), −1 for none; None for none at all. y_c and centred as in
        `scores`. Returns (B, h, w).
        """
        foils = torch.full_like(targets, -1) if foils is None else foils
        layer = self.layers.inverted
        name = layer_names.parse_layer(layer).name
        last: list[Tensor] = []

        def tap(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            last[:] = [output]
            return output.clone()  # an in-place operation that follows changes the copy

        handle = self.module.get_submodule(name).register_forward_hook(tap)
        try:
            with torch.enable_grad():
                y = self.scores(images.detach().requires_grad_(), targets, foils, centred=centred)
                (slopes,) = torch.autograd.grad(y.sum(), last[0])
        finally:
            handle.remove()
        features, slopes = self._read(layer, last[0].detach()), _as_map(slopes, self._grids[layer])
        if features.ndim != 4:
            shape = "×".join(map(str, features.shape[1:]))
            raise MethodError(f"layer `{name}` gives {shape}; Grad-CAM's map is made from channels × h × w")
        weights = slopes.to(self.dtype).contiguous().mean((2, 3))
        return masks.combine(weights, features.contiguous())

    def representation(self, images: Tensor) -> Tensor:
        """f^{l0} of images (B, C, H, W), with gradient; nothing after l0 runs."""
        _, outputs = self._run(images, (self.layers.inverted,), to_the_end=False)
        return outputs[self.layers.inverted]

    def probabilities(self, images: Tensor) -> Tensor:
        """f of images (B, C, H, W), with gradient: softmax, sigmoid or the output itself, (B, K)."""
        return self._as_probabilities(self._logits(images))

    def _logits(self, images: Tensor) -> Tensor:
        """The network's outputs for the classes, (B, K)."""
        outputs: Tensor = self.module(images.to(self._network_dtype))
        return self._for_classes(outputs.to(self.dtype))

    def _run(
        self, images: Tensor, layers: tuple[str, ...], to_the_end: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass: the network's outputs, and each layer's output at its last call.

        to_the_end: False ends the pass at the layer, and the first result then means nothing.
        """
        outputs: dict[str, Tensor] = {}
        calls: dict[str, int] = {}

        def hook_for(name: str) -> Any:
            def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
                calls[name] = calls.get(name, 0) + 1
                if calls[name] < self._passes[name]:
                    return
                if not to_the_end:
                    outputs[name] = output
                    raise _LayerReached
                outputs[name] = output.clone()  # an in-place ReLU that follows would change it

            return hook

        names = {layer_names.parse_layer(layer).name for layer in layers}
        handles = [self.module.get_submodule(n).register_forward_hook(hook_for(n)) for n in names]
        logits = images
        try:
            logits = self._logits(images)
        except _LayerReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        read = {}
        for layer in layers:
            name = layer_names.parse_layer(layer).name
            if name not in outputs:
                raise MethodError(f"layer `{name}` was not reached in this pass; name one that always runs")
            read[layer] = self._read(layer, outputs[name])
        return logits, read

    def _read(self, layer: str, output: Tensor) -> Tensor:
        """A module's output with the suffixes of the layer applied."""
        features = _as_map(output, self._grids[layer]).to(self.dtype)
        return features.relu() if layer_names.parse_layer(layer).rectify else features


def _grid(layer: str, call: Call) -> tuple[int, int] | None:
    """(h, w) of a layer that is written with `:tokens`, otherwise None; raises MethodError if the suffix is wrong."""
    shape = "×".join(map(str, call.shape))
    if not layer_names.parse_layer(layer).tokens:
        if call.tokens:  # (h, w, D) would be mistaken for h channels of w×D cells
            raise MethodError(f"layer `{call.name}` gives tokens, {shape}; write `{call.name}{TOKENS}`")
        return None
    if not call.tokens:
        raise MethodError(
            f"layer `{call.name}` gives {shape}, which is not a grid of tokens; leave `{TOKENS}` out"
        )
    return call.grid


def _as_map(output: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """A map (B, D, h, w) from tokens: (B, h, w, D), or (B, N, D) whose last h·w are the patches.

    grid: (h, w); None returns the output unchanged.
    """
    if grid is None:
        return output
    if output.ndim == 4:
        return output.permute(0, 3, 1, 2)
    patches = output[:, -grid[0] * grid[1] :]
    return patches.transpose(1, 2).reshape(len(output), -1, *grid)


def _joined(maps: list[Tensor], centred: bool) -> Tensor:
    """The channels of several layers on the finest of their grids, (B, ΣK, h, w)."""
    finest = max(maps, key=lambda features: features.shape[2] * features.shape[3])
    fine = []
    for features in maps:
        b, k = features.shape[:2]
        if features.shape[2:] != finest.shape[2:]:
            upsample = Upsampling.between(features, finest, align_corners=False)
            features = upsample(features.flatten(0, 1)).view(b, k, *finest.shape[2:])
        fine.append(masks.centre(features) if centred else features)
    return torch.cat(fine, 1).contiguous()
