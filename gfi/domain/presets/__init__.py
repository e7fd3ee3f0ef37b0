"""The named recipes, one file each. Loads no torch.

A new preset is one more file in this folder with a `RECIPE`; nothing else lists it. Its fields choose the parts
(start, objective, step, normalisation) among the classes of `gfi.method.parts`.

    >>> recipe("paper", steps_class=20).digest() != PRESETS["paper"].digest()
    True
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from gfi.domain.errors import MethodError
from gfi.domain.methods import OWN, check_fields, method_named, peer_recipe
from gfi.domain.presets.paper import RECIPE as PAPER
from gfi.domain.presets.released import RECIPE as RELEASED
from gfi.domain.presets.tuned import RECIPE as TUNED
from gfi.domain.recipes import Recipe, override

__all__ = ["DEFAULT_PRESET", "PAPER", "PRESETS", "RELEASED", "TUNED", "Recipe", "recipe", "recipe_of_method"]


def _collect() -> dict[str, Recipe]:
    """The three presets above in that order, then those of all other files of this folder."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {
        preset.name: preset for preset in (PAPER, RELEASED, TUNED, *(module.RECIPE for module in modules))
    }


PRESETS: Mapping[str, Recipe] = _collect()
"""Every preset of this folder by its name."""


DEFAULT_PRESET = TUNED.name
"""The preset used when none is given, for every network. On each trained network that was at hand it measured best
(`benchmarks/results/quality.json`): EfficientNet-Lite0, SqueezeNet 1.0, MobileNet-V1 0.5 and ResNet-56 for CIFAR-10. A
family of which no trained network was at hand has it too."""


def recipe(name: str, **overrides: Any) -> Recipe:
    """A preset by its name, with single fields replaced.

    Parameters
    ----------
    name
        A key of `PRESETS`: "paper", "released" or "tuned".
    overrides
        Fields of `Recipe` and their new values.

    Raises
    ------
    MethodError
        For an unknown preset or field, and for a value of a wrong type or out of its range; the message says which
        would be right.

    Examples
    --------
    >>> recipe("paper").steps
    80
    >>> recipe("paper", steps_class=20, penalty="squares").steps
    30
    """
    if name not in PRESETS:
        raise MethodError(f"no preset is called `{name}`; the presets are {', '.join(PRESETS)}")
    check_fields(OWN, overrides)
    return override(PRESETS[name], overrides) if overrides else PRESETS[name]


def recipe_of_method(method: str, preset: str | None = None, **overrides: Any) -> Recipe:
    """The recipe of a method (`gfi.domain.methods`), with single fields replaced.

    preset: of the method `gfi`; None for the default. Raises MethodError for an unknown name or field, and for a preset
    with another method.

    >>> recipe_of_method("gfi").name, recipe_of_method("gradcam").name
    ('tuned', 'grad-cam')
    """
    named = method_named(method)
    if named == OWN:
        return recipe(preset or DEFAULT_PRESET, **overrides)
    if preset is not None:
        raise MethodError(
            f"preset {preset!r} is a recipe of the method {OWN}; leave it out with the method {named}"
        )
    return peer_recipe(named, **overrides)
