"""Guided feature inversion: which part of an image a classifier's prediction rests on.

    from gfi import GuidedFeatureInversion, load
    masks = GuidedFeatureInversion(load("efficientnet-lite0")).attribute(inputs)

Importing gfi loads neither torch nor any other large library: names are loaded at their first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from gfi.client import Client as Client
    from gfi.method.classifiers import load as load
    from gfi.method.explainer import GuidedFeatureInversion as GuidedFeatureInversion
    from gfi.method.explainer import explain_many as explain_many
    from gfi.method.quantus import quantus_explain as quantus_explain

_PUBLIC = {
    "Client": "gfi.client",
    "GuidedFeatureInversion": "gfi.method.explainer",
    "explain_many": "gfi.method.explainer",
    "load": "gfi.method.classifiers",
    "quantus_explain": "gfi.method.quantus",
}
"""Public names and the modules that define them."""
_MOVED = {
    "classifiers": "gfi.method.classifiers",
    "depths": "gfi.method.depths",
    "engine": "gfi.method.engine",
    "errors": "gfi.domain.errors",
    "interpolation": "gfi.domain.geometry",
    "recipes": "gfi.domain.presets",
}
"""Attributes that were modules of gfi in version 0.1, and the modules that took their place."""
_NEED_TORCH = ("gfi.method", "gfi.metrics", "gfi.peers")
_OF_METHOD = ("torch", "torchvision", "numpy", "PIL")
"""Libraries that the extra `method` installs."""

__all__ = ["Client", "GuidedFeatureInversion", "__version__", "explain_many", "load", "quantus_explain"]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name) or _MOVED.get(name) or f"gfi.{name}"
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise AttributeError(f"module 'gfi' has no attribute '{name}'") from None
        if module.startswith(_NEED_TORCH) and error.name in _OF_METHOD:
            raise ModuleNotFoundError(
                f'gfi.{name} needs {error.name}, which is not installed: pip install "gfi[method]"',
                name=error.name,
            ) from None
        raise
    return getattr(loaded, name) if name in _PUBLIC else loaded


def __dir__() -> list[str]:
    return sorted(__all__)
