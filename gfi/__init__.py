"""Guided feature inversion: which part of an image a network's prediction rests on.

    from gfi import GuidedFeatureInversion, load
    masks = GuidedFeatureInversion(load("efficientnet-lite0")).attribute(inputs)

Names are loaded when first used: `import gfi` and `gfi.recipes` do not load torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gfi.classifiers import load as load
    from gfi.explainer import GuidedFeatureInversion as GuidedFeatureInversion
    from gfi.explainer import explain_many as explain_many
    from gfi.quantus import quantus_explain as quantus_explain

_HOMES = {
    "GuidedFeatureInversion": "gfi.explainer",
    "explain_many": "gfi.explainer",
    "load": "gfi.classifiers",
    "quantus_explain": "gfi.quantus",
}

__all__ = ["GuidedFeatureInversion", "__version__", "explain_many", "load", "quantus_explain"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    try:
        return importlib.import_module(f"gfi.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"gfi.{name}":
            raise
        raise AttributeError(f"module 'gfi' has no attribute '{name}'") from None


def __dir__() -> list[str]:
    return sorted(__all__)
