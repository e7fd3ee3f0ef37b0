"""A recipe: every hyper-parameter of guided feature inversion, as frozen data. Loads no torch.

Anything that changes a mask is a field here, and so part of `Recipe.digest`. The named recipes are in
`gfi.domain.presets`; the values of the fields choose among the classes of `gfi.method.parts`.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gfi.domain.digests import digest
from gfi.domain.errors import MethodError


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of the two stages; the comments name the paper's symbols.

    Take one of `gfi.domain.presets.PRESETS`, or `gfi.domain.presets.recipe` to change single fields; both
    validate, the constructor does not.

    Examples
    --------
    >>> from gfi.domain.presets import recipe
    >>> short = recipe("paper", steps_class=20)
    >>> short.steps, short.penalty
    (30, 'l1')
    >>> Recipe.from_json(short.to_json()) == short
    True
    """

    name: str

    # Start (`gfi.method.parts.starts`): the first weights ω and their range.
    # "even": ω_i = omega_start. "grad-cam": ω = 0, added to Grad-CAM's map at l0.
    start: Literal["even", "grad-cam"] = "even"
    omega_start: float = 0.1
    # True: ω in ℝ, so that a channel may count against the class. False: ω is clipped to [0, ∞).
    signed: bool = False

    # Step (`gfi.method.parts.steps`): how the weights move.
    # "adam": Adam on ω, rate = learning rate. "relative": one move per cycle of steps; rate = the largest change of the
    # map, as a share of the largest value of the map at the start.
    search: Literal["adam", "relative"] = "adam"
    rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    # The rate is halved every so many steps of stage 2, or with one_adam every so many steps of the run.
    halve_every: int = 10
    one_adam: bool = False  # One Adam for both stages. False: stage 2 begins with a new one.

    # Stage 1 (`gfi.method.parts.objectives`): keep the representation.
    steps_inversion: int = 10
    relative_inversion: bool = False  # Divide the squared error by ‖f^{l0}(x)‖².
    gamma: float = 10.0  # γ

    # Stage 2 (`gfi.method.parts.objectives`): the kept part has the class, the removed part does not.
    steps_class: int = 70
    lambda_: float = 1.0  # λ
    delta: float = 1.0  # δ
    penalty: Literal["l1", "squares"] = "l1"  # ‖ω‖₁ or Σω²
    # "probability": Eq. 9. "contrast": log-odds of the kept and the removed part, without δ.
    objective: Literal["probability", "contrast"] = "probability"
    # For "contrast", a: the shares of the map that are kept, one per step, each with every fill.
    levels: tuple[float, ...] = (0.25,)
    softness: float = 0.2  # τ of the soft threshold, in standard deviations of the map
    floor: float = 0.1  # ε

    # When an image is done before its steps have run: at multiples of check_every steps of stage 2 the mask is compared
    # with that of the previous check; it has settled if its cells changed by at most `settled` on average.
    check_every: int = 0  # 0: never checked, all steps run.
    settled: float = 0.0

    # Mask (`gfi.method.parts.normalisations`).
    # "grid": (m − min)/(max − min), then up-sampled. "image": up-sampled, then (m − min)/max.
    # "rectified": max(0, m)/max, then up-sampled.
    normalise: Literal["grid", "image", "rectified"] = "grid"
    align_corners: bool = False  # of the bilinear up-sampling
    one_layer: bool = False  # l1 is l0
    two_grids: bool = False  # l1 is l0 and the last rectified map on the finer grid before it
    centred: bool = False  # Subtract each channel's mean over the map, and bring all layers to equal size.

    # p, which replaces removed pixels (`gfi.method.fills`); "mean" is ImageNet's mean colour.
    fill: Literal["blur", "mean", "noise"] = "blur"
    # Alternates with `fill` from step to step of stage 2.
    second_fill: Literal["none", "mean", "noise"] = "none"
    # Takes its turn after them: each level shows the next image of a frozen bank (`gfi.method.leaves`).
    bank: Literal["none", "leaves"] = "none"
    fill_from: Literal["input", "photograph"] = "input"  # what is blurred
    blur_radius: float = 11.0  # σ
    blur_kernel: int = 67  # taps, for fill_from="input"; Pillow's filter chooses its own
    seed: int = 0  # of the noise, which is the same for all photographs

    # How a photograph becomes the network's input (`gfi.method.preprocess`), unless the model prescribes it.
    resize: Literal["squash", "crop"] = "squash"  # to the input size, or shorter side and centre crop

    # Which method makes the mask (`gfi.domain.methods`). "gfi" is guided feature inversion, which all fields above
    # describe. The others use the fields below, `fill`, `blur_…` (for the kept and the removed part), `seed`, `resize`.
    method: Literal["gfi", "grad-cam", "integrated-gradients", "occlusion", "rise", "opti-cam"] = "gfi"
    path_steps: int = 32  # Integrated gradients: points on the path.
    occlusion_cells: int = 14  # Occlusion: cells along each side of the image,
    occlusion_window: int = 2  # and the side of the covered window, in cells. It moves by one cell.
    rise_masks: int = 500  # RISE: random masks,
    rise_cells: int = 7  # cells along each side of the image,
    rise_keep: float = 0.5  # and the probability that a cell shows the image. `seed` draws them.
    opti_steps: int = 100  # Opti-CAM: steps of Adam,
    opti_rate: float = 0.1  # and its learning rate.
    map_cells: int = 56  # Methods with a value per pixel: cells of the stored map along the longer side.

    @property
    def steps(self) -> int:
        """Optimiser steps of a full run."""
        return self.steps_inversion + self.steps_class

    @property
    def fills(self) -> int:
        """Fills that take turns in stage 2."""
        return 1 + (self.second_fill != "none") + (self.bank != "none")

    @property
    def cycle(self) -> int:
        """Steps of stage 2 that contain every pair of level and fill once."""
        return self.fills * len(self.levels) if self.objective == "contrast" else self.fills

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe that `to_json` wrote; unknown or ill-typed fields raise MethodError.

        Ranges are not checked again: a job stays readable where a later version would refuse its recipe.
        """
        return _replaced(cls(name=str(data.get("name", "custom"))), data)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal digests mean equal methods.

        The fields of version 0.1 are always hashed; a field that was added later is hashed only if it differs from its
        default, so a new field changes the digest of no recipe that does not use it.
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


def override(base: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """`base` with some fields replaced. Raises MethodError for an unknown field or a value that does not fit."""
    return _checked_ranges(_replaced(base, overrides))


def _replaced(base: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    hints = get_type_hints(Recipe)
    values: dict[str, Any] = {}
    for field, value in overrides.items():
        if field not in hints:
            near = difflib.get_close_matches(field, hints, n=1)
            raise MethodError(
                f"a recipe has no field `{field}`" + (f"; did you mean `{near[0]}`?" if near else "")
            )
        values[field] = _checked_value(field, value, hints[field])
    return dataclasses.replace(base, **values)


def _checked_value(field: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise MethodError(f"recipe field `{field}` is a list of numbers, not {value!r}")
        value = tuple(_checked_value(field, item, float) for item in value)
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise MethodError(f"recipe field `{field}` is one of {', '.join(get_args(kind))}, not {value!r}")
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        # 1 and 1.0 are one recipe and have one digest. A larger integer has no float, and is out of every range.
        value = float(value) if abs(value) < 2**1023 else math.inf if value > 0 else -math.inf
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MethodError(f"recipe field `{field}` is of type {kind.__name__}, not {value!r}")
    return value


_STEPS = 100_000
_FACTOR = 1e9

_RANGES: Mapping[str, tuple[float, float]] = {
    "omega_start": (0, _FACTOR),
    "rate": (0, _FACTOR),
    "beta1": (0, math.nextafter(1, 0)),
    "beta2": (0, math.nextafter(1, 0)),
    "epsilon": (1e-16, 1),
    "halve_every": (1, 1_000_000),
    "steps_inversion": (0, _STEPS),
    "gamma": (0, _FACTOR),
    "steps_class": (0, _STEPS),
    "lambda_": (0, _FACTOR),
    "delta": (0, _FACTOR),
    "softness": (1e-3, _FACTOR),
    "floor": (1e-6, _FACTOR),
    "check_every": (0, _STEPS),
    "settled": (0, _FACTOR),
    "blur_radius": (0, 1000),
    "blur_kernel": (1, 4095),
    "seed": (-(2**63), 2**64 - 1),
    "path_steps": (1, _STEPS),
    "occlusion_cells": (2, 128),
    "occlusion_window": (1, 128),
    "rise_masks": (1, 20_000),
    "rise_cells": (1, 64),
    "rise_keep": (1e-3, math.nextafter(1, 0)),
    "opti_steps": (1, _STEPS),
    "opti_rate": (0, _FACTOR),
    "map_cells": (2, 512),
}
"""(least, most) of each numeric field, both allowed. A recipe comes from whoever may submit a job: the largest values
bound the time of one mask, and its memory (20,000 masks of RISE on 65 x 65 points take 340 MB)."""

_MOST_LEVELS = 64


def _checked_ranges(recipe: Recipe) -> Recipe:
    for field, (least, most) in _RANGES.items():
        value = getattr(recipe, field)
        if not least <= value <= most:
            limit = "less than 1" if most == math.nextafter(1, 0) else f"at most {most:,.12g}"
            raise MethodError(f"recipe field `{field}` is at least {least:,} and {limit}, not {value}")
    if len(recipe.levels) > _MOST_LEVELS:
        raise MethodError(
            f"recipe field `levels` holds at most {_MOST_LEVELS} shares, not {len(recipe.levels)}"
        )
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
                f" move once per cycle of {recipe.cycle} steps, one step for each pair of level and fill"
            )
    if recipe.occlusion_window > recipe.occlusion_cells:
        raise MethodError(
            f"recipe field `occlusion_window` is at most occlusion_cells ({recipe.occlusion_cells}), not"
            f" {recipe.occlusion_window}"
        )
    if recipe.blur_kernel % 2 == 0:
        raise MethodError(f"recipe field `blur_kernel` is odd, not {recipe.blur_kernel}")
    return recipe
