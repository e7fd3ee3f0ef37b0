"""Recipes: every hyper-parameter of guided feature inversion, as frozen data. Loads no torch.

Stage 1 (Eq. 8) finds what the network kept of the image x, whatever its class:

    min over ω ≥ 0 of   ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² + γ‖ω‖

stage 2 (Eq. 9) continues from there towards the target class c:

    min over ω ≥ 0 of   −f_c(Φ(x, m)) + λ f_c(Φ_bg(x, m)) + δ‖ω‖

with the mask m made from the channels of layer l1 by their weights ω (Eq. 6-7, `gfi.method.masks`). Two
recipes exist because the paper and the program its authors released differ (`PAPER`, `RELEASED`).

`TUNED` is ours, within the same idea. The map starts as Grad-CAM's at l0 and is moved by signed weights of
the channels of l0 and of the finer grid before it, so that its highest part alone keeps the class and the
image without it loses the class, at several sizes a of that part and with two fills:

    g(ω) = Grad-CAM + Σ_i ω_i φ_i,   φ_i = f_i − mean f_i,   m = max(0, g)/max g

    min over ω of   Σ_ap −log(f_c(Φ(x, m_a)) + ε f_c(x)) + λ log(f_c(Φ_bg(x, m_a)) + ε f_c(x))

m_a is g behind a soft threshold at its own a-quantile (`masks.threshold`). A step asks about one size and one
fill; after a turn of all of them the weights move, by plain descent of a fixed size, measured on the map
(`gfi.method.map_relative_descent`): the prior is bent, never washed out.

Anything that changes a mask is a field here, and so part of `Recipe.digest`.

    >>> recipe("paper", steps_class=20).digest() != PAPER.digest()
    True
"""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gfi.domain.errors import MethodError


@dataclass(frozen=True)
class Recipe:
    """One way to run the two stages; the comments name the symbols of the paper."""

    name: str

    # Where ω starts, and where it may go.
    start: Literal["even", "grad-cam"] = "even"  # ω_i = omega_start, or ω = 0 on top of Grad-CAM's map at l0
    omega_start: float = 0.1
    signed: bool = False  # ω in ℝ: a channel may count against the class; otherwise clipped to [0, ∞)

    # The optimiser. "adam": on ω. "relative": a move a turn; rate is the largest change of the map, as a share
    # of the largest value of the map at the start.
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
    objective: Literal["probability", "contrast"] = "probability"  # Eq. 9, or as `TUNED` above, without δ
    levels: tuple[float, ...] = (0.25,)  # a: for "contrast", one a step in turn, each with all fills
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
    def turn(self) -> int:
        """Steps of stage 2 that ask about every size and every fill once."""
        fills = 1 if self.second_fill == "none" else 2
        return fills * len(self.levels) if self.objective == "contrast" else fills

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe that `to_json` wrote; unknown or ill-typed fields raise MethodError."""
        return _checked(cls(name=str(data.get("name", "custom"))), data)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal digests, equal method."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


PAPER = Recipe("paper")
"""The method as printed: KDD 2018, Eq. 2-9, Table 2."""

RELEASED = Recipe(
    "released",
    steps_inversion=11,
    steps_class=69,
    one_adam=True,
    relative_inversion=True,
    penalty="squares",
    gamma=5.0,
    delta=2.0,
    normalise="image",
    align_corners=True,
    one_layer=True,
    fill_from="photograph",
    resize="crop",
)
"""The method as the authors' released program runs it."""

TUNED = Recipe(
    "tuned",
    start="grad-cam",
    signed=True,
    search="relative",
    rate=0.5,
    halve_every=8,
    steps_inversion=0,
    steps_class=32,
    check_every=8,
    settled=0.04,
    objective="contrast",
    levels=(0.05, 0.15, 0.35, 0.6),
    softness=0.4,
    normalise="rectified",
    two_grids=True,
    centred=True,
    second_fill="mean",
)
"""Ours: measured in docs/decisions and by `make bench-quality`."""

PRESETS: dict[str, Recipe] = {r.name: r for r in (PAPER, RELEASED, TUNED)}


def recipe(name: str, **overrides: Any) -> Recipe:
    """The preset called `name`, with single fields replaced; raises MethodError with advice."""
    if name not in PRESETS:
        raise MethodError(f"no preset is called `{name}`; the presets are {', '.join(PRESETS)}")
    return _checked(PRESETS[name], overrides) if overrides else PRESETS[name]


def _checked(base: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`base` with `changes`, each name and value checked."""
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
        if getattr(recipe, field) % recipe.turn:
            raise MethodError(
                f"recipe field `{field}` is a multiple of {recipe.turn}, not {getattr(recipe, field)}: weights"
                f" move when each of the {recipe.turn} pairs of level and fill has had its step"
            )
    if recipe.blur_kernel % 2 == 0:
        raise MethodError(f"recipe field `blur_kernel` is odd, not {recipe.blur_kernel}")
    return recipe
