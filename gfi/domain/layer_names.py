"""Layers by name: how they are written, and what to say when there is no such layer. Loads no torch.

A layer is a module's dotted path as `named_modules` gives it; the suffix `:relu` rectifies its output,
max(f, 0), and `:tokens` lays the tokens of a transformer out as a map. A module that runs several times in one
pass means its last call.

    features.36                 the output of that module
    layer4.1.bn1:relu           its positive part
    features.7.1.mlp.1:tokens   Swin, (h, w, D) as (D, h, w)
    encoder.layers.encoder_layer_11.ln_1:tokens:relu
                                ViT, (1+h·w, D) as (D, h, w) without the class token, its positive part

A choice is written `L0` (both layers alike) or `L0,L1`; channels of several layers together make the mask
when they are joined by `+`: `L0,L1+L1b`.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gfi.domain.errors import MethodError

RELU = ":relu"
TOKENS = ":tokens"


class Written(NamedTuple):
    """What a layer's text says."""

    name: str
    tokens: bool
    """Its output is a grid of tokens, to be laid out as a map."""
    rectify: bool
    """Its positive part is meant."""


def split(layer: str) -> Written:
    """("features.34", False, True) from "features.34:relu"; raises MethodError on any other suffix."""
    name, colon, suffix = layer.partition(":")
    if not name or colon + suffix not in ("", RELU, TOKENS, TOKENS + RELU):
        raise MethodError(f"layer `{layer}` is not of the form NAME, NAME{RELU} or NAME{TOKENS}{RELU}")
    return Written(name, suffix.startswith(TOKENS[1:]), suffix.endswith(RELU[1:]))


@dataclass(frozen=True)
class Layers:
    """Which layers an explanation uses."""

    inverted: str
    """l0, whose features stage 1 keeps."""
    mask_layers: tuple[str, ...]
    """l1, whose channels make the mask; the channels of several are put side by side at the finest grid."""

    def __post_init__(self) -> None:
        if not self.mask_layers:
            raise MethodError("no layer is named whose channels make the mask")
        for layer in self.names:
            split(layer)

    @property
    def names(self) -> tuple[str, ...]:
        """Every layer once, inverted first."""
        return tuple(dict.fromkeys((self.inverted, *self.mask_layers)))

    @classmethod
    def parse(cls, text: str) -> "Layers":
        """From `L0`, `L0,L1` or `L0,L1+L1b`."""
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 2 or not all(parts):
            raise MethodError(f"layers are written L0 or L0,L1 or L0,L1+L1b, not `{text}`")
        return cls(parts[0], tuple(part.strip() for part in parts[-1].split("+")))

    def __str__(self) -> str:
        return f"{self.inverted},{'+'.join(self.mask_layers)}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Layers":
        """What `to_json` wrote."""
        return cls(value["inverted"], tuple(value["weighed"]))

    def to_json(self) -> dict[str, Any]:
        """{"inverted": name, "weighed": [name, …]}."""
        return {"inverted": self.inverted, "weighed": list(self.mask_layers)}


def check(layers: Layers, known: Sequence[tuple[str, str]], reference: str) -> None:
    """Raise MethodError with near matches unless every layer is among `known`: (name, type) in call order."""
    names = [name for name, _ in known]
    for layer in layers.names:
        name = split(layer).name
        if name not in names:
            convolutions = [n for n, kind in known if "conv" in kind.lower() and "." not in kind]
            raise MethodError(not_found(name, names, convolutions, reference))


def not_found(name: str, names: Iterable[str], convolutions: Sequence[str], reference: str) -> str:
    """Layer `features.99` does not exist in …; the last convolutions are features.34, .32, .30 - …"""
    model = reference.rpartition(":")[2] if "@" not in reference else reference
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.8)
    text = f"layer `{name}` does not exist in {model}"
    if near:
        text += f"; did you mean {' or '.join(near)}?"
    last = list(convolutions)[-3:][::-1]
    if last:
        text += f"{'' if near else ';'} the last convolutions are {_abbreviated(last)}"
    return f"{text} — `gfi layers {reference}` lists them all"


def _abbreviated(names: Sequence[str]) -> str:
    """features.34, .32, .30 where names share a parent."""
    parent = names[0].rpartition(".")[0]
    same = [names[0]]
    for name in names[1:]:
        head, _, tail = name.rpartition(".")
        same.append(f".{tail}" if parent and head == parent else name)
    return ", ".join(same)
