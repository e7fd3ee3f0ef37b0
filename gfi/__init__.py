"""Guided feature inversion: which part of an image a network's prediction rests on.

    from gfi import GuidedFeatureInversion, load
    masks = GuidedFeatureInversion(load("efficientnet-lite0")).attribute(inputs)

Names are loaded when first used: `import gfi` and `gfi.domain.recipes` do not load torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gfi.method.classifiers import load as load
    from gfi.method.explainer import GuidedFeatureInversion as GuidedFeatureInversion
    from gfi.method.explainer import explain_many as explain_many
    from gfi.method.quantus import quantus_explain as quantus_explain

_HOMES = {
    "GuidedFeatureInversion": "gfi.method.explainer",
    "explain_many": "gfi.method.explainer",
    "load": "gfi.method.classifiers",
    "quantus_explain": "gfi.method.quantus",
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
