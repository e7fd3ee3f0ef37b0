"""How layers are written, and the error message for a layer that does not exist. Loads no torch.

A layer is a module's dotted path as `named_modules` gives it. The suffix `:relu` rectifies its output,
max(f, 0); `:tokens` arranges the tokens of a transformer as a map. If a module runs several times in one pass, its
last call is meant.

    features.36                 the output of that module
    layer4.1.bn1:relu           its positive part
    features.7.1.mlp.1:tokens   Swin, (h, w, D) as (D, h, w)
    encoder.layers.encoder_layer_11.ln_1:tokens:relu
                                ViT, (1+h·w, D) as (D, h, w) without the class token, its positive part

A choice of layers is written `L0` (one layer for both purposes) or `L0,L1`; `L0,L1+L1b` makes the mask from the
channels of several layers.

    >>> layers = Layers.parse("layer4,layer3+layer4:relu")
    >>> layers.inverted, layers.mask_layers
    ('layer4', ('layer3', 'layer4:relu'))
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gfi.domain.errors import MethodError

RELU = ":relu"
TOKENS = ":tokens"


class ParsedLayer(NamedTuple):
    """The parts of a written layer."""

    name: str
    """The module's dotted path."""
    tokens: bool
    """Suffix `:tokens`: the output is a grid of tokens, to be arranged as a map."""
    rectify: bool
    """Suffix `:relu`: the positive part of the output is meant."""


def parse_layer(layer: str) -> ParsedLayer:
    """("features.34", False, True) from "features.34:relu"; raises MethodError for any other suffix."""
    name, colon, suffix = layer.partition(":")
    if not name or colon + suffix not in ("", RELU, TOKENS, TOKENS + RELU):
        raise MethodError(f"layer `{layer}` is not of the form NAME, NAME{RELU} or NAME{TOKENS}{RELU}")
    return ParsedLayer(name, suffix.startswith(TOKENS[1:]), suffix.endswith(RELU[1:]))


@dataclass(frozen=True)
class Layers:
    """Which layers an explanation uses."""

    inverted: str
    """l0, whose features stage 1 keeps."""
    mask_layers: tuple[str, ...]
    """l1, whose channels make the mask; the channels of several layers are brought to the finest of their grids."""

    def __post_init__(self) -> None:
        if not self.mask_layers:
            raise MethodError("no layer is named whose channels make the mask")
        for layer in self.names:
            parse_layer(layer)

    @property
    def names(self) -> tuple[str, ...]:
        """All layers without repetition, the inverted one first."""
        return tuple(dict.fromkeys((self.inverted, *self.mask_layers)))

    @classmethod
    def parse(cls, text: str) -> "Layers":
        """From `L0`, `L0,L1` or `L0,L1+L1b`; raises MethodError for any other form."""
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 2 or not all(parts):
            raise MethodError(f"layers are written L0 or L0,L1 or L0,L1+L1b, not `{text}`")
        return cls(parts[0], tuple(part.strip() for part in parts[-1].split("+")))

    def __str__(self) -> str:
        return f"{self.inverted},{'+'.join(self.mask_layers)}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Layers":
        """The layers that `to_json` wrote."""
        return cls(value["inverted"], tuple(value["weighed"]))

    def to_json(self) -> dict[str, Any]:
        """{"inverted": name, "weighed": [name, …]}."""
        return {"inverted": self.inverted, "weighed": list(self.mask_layers)}


def check_layers(layers: Layers, known: Sequence[tuple[str, str]], reference: str) -> None:
    """Raise MethodError, with near matches, unless every layer is among `known`.

    known: (name, type) of each module in call order. reference: the model's, for the message.
    """
    names = [name for name, _ in known]
    for layer in layers.names:
        name = parse_layer(layer).name
        if name not in names:
            convolutions = [n for n, kind in known if "conv" in kind.lower() and "." not in kind]
            raise MethodError(missing_layer(name, names, convolutions, reference))


def missing_layer(name: str, names: Iterable[str], convolutions: Sequence[str], reference: str) -> str:
    """The message "layer `features.99` does not exist in …; the last convolutions are features.34, .32, .30 — …"."""
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
    """ "features.34, .32, .30": names after the first are shortened if they have the same parent."""
    parent = names[0].rpartition(".")[0]
    same = [names[0]]
    for name in names[1:]:
        head, _, tail = name.rpartition(".")
        same.append(f".{tail}" if parent and head == parent else name)
    return ", ".join(same)
