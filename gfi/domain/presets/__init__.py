"""The named recipes: one file each, with the page of the paper that one wants open beside it.

A new preset is one more file in this folder with a `RECIPE`; its parts (start, objective, step, normalisation) are
classes of `gfi.method.parts`, named by the fields of the recipe. Nothing here loads torch.

    >>> recipe("paper", steps_class=20).digest() != PRESETS["paper"].digest()
    True
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from gfi.domain.errors import MethodError
from gfi.domain.presets.paper import RECIPE as PAPER
from gfi.domain.presets.released import RECIPE as RELEASED
from gfi.domain.presets.tuned import RECIPE as TUNED
from gfi.domain.recipes import Recipe, changed

__all__ = ["PAPER", "PRESETS", "RELEASED", "TUNED", "recipe"]

PRESETS: Mapping[str, Recipe] = {
    preset.name: preset
    for preset in (
        importlib.import_module(f"{__name__}.{module.name}").RECIPE
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name)
    )
}
"""Every preset of this folder by its name."""


def recipe(name: str, **overrides: Any) -> Recipe:
    """The preset called `name`, with single fields replaced; raises MethodError with advice."""
    if name not in PRESETS:
        raise MethodError(f"no preset is called `{name}`; the presets are {', '.join(PRESETS)}")
    return changed(PRESETS[name], overrides) if overrides else PRESETS[name]
