"""A recipe: every hyper-parameter of guided feature inversion, as frozen data. Loads no torch.

Anything that changes a mask is a field here, and so part of `Recipe.digest`. The named recipes are
`gfi.domain.presets`; what the fields choose are the classes of `gfi.method.parts`.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gfi.domain.digests import digest
from gfi.domain.errors import MethodError


@dataclass(frozen=True)
class Recipe:
    """One way to run the two stages; the comments name the symbols of the paper."""

    name: str

    # Where ω starts, and where it may go: `parts.starts`.
    start: Literal["even", "grad-cam"] = "even"  # ω_i = omega_start, or ω = 0 on top of Grad-CAM's map at l0
    omega_start: float = 0.1
    signed: bool = False  # ω in ℝ: a channel may count against the class; otherwise clipped to [0, ∞)

    # The step: `parts.steps`. "adam": on ω. "relative": one move a cycle; rate is the largest change of the map, as a
    # share of the largest value of the map at the start.
    search: Literal["adam", "relative"] = "adam"
    rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    halve_every: int = 10  # steps after which the learning rate is halved ...
    one_adam: bool = False  # ... counted from the first step of all; otherwise in stage 2, with a new Adam

    # Stage 1: keep the representation.
    steps_inversion: int = 10
    relative_inversion: bool = False  # divide the squared error by ‖f^{l0}(x)‖²
    gamma: float = 10.0  # γ

    # Stage 2: keep the class in, and leave it out of, the two halves of the image.
    steps_class: int = 70
    lambda_: float = 1.0  # λ
    delta: float = 1.0  # δ

    penalty: Literal["l1", "squares"] = "l1"  # ‖ω‖₁ or Σω²
    objective: Literal["probability", "contrast"] = "probability"  # Eq. 9, or as `tuned` has it, without δ
    levels: tuple[float, ...] = (0.25,)  # a: for "contrast", one a step, each with all fills
    softness: float = 0.2  # of the threshold, in standard deviations of the map
    floor: float = 0.1  # ε

    # When a row is done before the schedule is: at multiples of check_every steps of stage 2, once the mask has
    # changed by less than `settled` since the last such step, on average over its cells.
    check_every: int = 0  # 0: the full schedule, always
    settled: float = 0.0

    # The mask.
    normalise: Literal["grid", "image", "rectified"] = "grid"
    # (m − min)/(max − min) before or (m − min)/max after up-sampling, or max(0, m)/max before it
    align_corners: bool = False
    one_layer: bool = False  # l1 is l0
    two_grids: bool = False  # l1 is l0 and the last rectified map on the finer grid before it
    centred: bool = False  # channels less their mean over the map, layers brought to equal size

    # What stands in for removed pixels, p.
    fill: Literal["blur", "mean", "noise"] = "blur"
    second_fill: Literal["none", "mean", "noise"] = "none"  # in turn with `fill`, step by step of stage 2
    fill_from: Literal["input", "photograph"] = "input"  # what the blur sees
    blur_radius: float = 11.0  # σ
    blur_kernel: int = 67  # taps, for fill_from="input"; Pillow's filter has its own support
    seed: int = 0  # of the noise; one noise image for all photographs

    # How a photograph becomes the network's input, unless the model prescribes it.
    resize: Literal["squash", "crop"] = "squash"  # to the input size, or shorter side then centre crop

    @property
    def steps(self) -> int:
        """Optimiser steps of a full run."""
        return self.steps_inversion + self.steps_class

    @property
    def cycle(self) -> int:
        """Steps of stage 2 in which every area and every fill comes once."""
        fills = 1 if self.second_fill == "none" else 2
        return fills * len(self.levels) if self.objective == "contrast" else fills

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe that `to_json` wrote; unknown or ill-typed fields raise MethodError."""
        return changed(cls(name=str(data.get("name", "custom"))), data)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal digests, equal method.

        The fields of version 0.1 are always hashed; a field that was added later only where it differs from its
        default. So a new field changes the digest of no recipe that does not use it.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        hashed = {
            name: value
            for name, value in self.to_json().items()
            if name in FIRST_FIELDS or getattr(self, name) != defaults[name]
        }
        return digest(hashed)


FIRST_FIELDS = frozenset(
    [
        "name",
        "start",
        "omega_start",
        "signed",
        "search",
        "rate",
        "beta1",
        "beta2",
        "epsilon",
        "halve_every",
        "one_adam",
        "steps_inversion",
        "relative_inversion",
        "gamma",
        "steps_class",
        "lambda_",
        "delta",
        "penalty",
        "objective",
        "levels",
        "softness",
        "floor",
        "check_every",
        "settled",
        "normalise",
        "align_corners",
        "one_layer",
        "two_grids",
        "centred",
        "fill",
        "second_fill",
        "fill_from",
        "blur_radius",
        "blur_kernel",
        "seed",
        "resize",
    ]
)
"""The fields that recipes had in version 0.1. Never to be changed: every digest of that version rests on it."""


def changed(base: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`base` with some fields replaced. Raises MethodError for an unknown field or a value that does not fit."""
    hints = get_type_hints(Recipe)
    values: dict[str, Any] = {}
    for field, value in changes.items():
        if field not in hints:
            near = difflib.get_close_matches(field, hints, n=1)
            raise MethodError(
                f"a recipe has no field `{field}`" + (f"; did you mean `{near[0]}`?" if near else "")
            )
        values[field] = _value(field, value, hints[field])
    return _in_range(dataclasses.replace(base, **values))


def _value(field: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise MethodError(f"recipe field `{field}` is a list of numbers, not {value!r}")
        value = tuple(_value(field, each, float) for each in value)
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise MethodError(f"recipe field `{field}` is one of {', '.join(get_args(kind))}, not {value!r}")
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)  # 1 and 1.0 are one recipe and have one digest
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MethodError(f"recipe field `{field}` is of type {kind.__name__}, not {value!r}")
    return value


def _in_range(recipe: Recipe) -> Recipe:
    at_least = {
        "omega_start": 0, "rate": 0, "steps_inversion": 0, "steps_class": 0, "halve_every": 1,
        "check_every": 0, "settled": 0,
        "gamma": 0, "lambda_": 0, "delta": 0, "blur_radius": 0, "blur_kernel": 1, "softness": 1e-3, "floor": 1e-6,
    }  # fmt: skip
    for field, low in at_least.items():
        value = getattr(recipe, field)
        if not low <= value < float("inf"):
            raise MethodError(f"recipe field `{field}` is a finite number of at least {low}, not {value}")
    if not all(0 < level < 1 for level in recipe.levels):
        raise MethodError(f"recipe field `levels` holds shares between 0 and 1, not {recipe.levels}")
    if recipe.normalise == "image" and (recipe.signed or recipe.centred or recipe.start == "grad-cam"):
        raise MethodError(
            "recipe field `normalise`: `image` divides by the map's maximum and needs ω ≥ 0 and"
            " features as they are; use `rectified`"
        )
    for field in ("steps_class", "check_every") if recipe.search == "relative" else ():
        if getattr(recipe, field) % recipe.cycle:
            raise MethodError(
                f"recipe field `{field}` is a multiple of {recipe.cycle}, not {getattr(recipe, field)}: weights"
                f" move when each of the {recipe.cycle} pairs of level and fill has had its step"
            )
    if recipe.blur_kernel % 2 == 0:
        raise MethodError(f"recipe field `blur_kernel` is odd, not {recipe.blur_kernel}")
    return recipe
