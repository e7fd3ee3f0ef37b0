"""The examples in docstrings run and print what they say: all of `gfi.metrics`, `gfi.peers` and `gfi.method`, and what
users need of `gfi.domain`."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import gfi.method
import gfi.metrics
import gfi.peers


def modules(package: ModuleType) -> list[str]:
    return [
        package.__name__,
        *(m.name for m in pkgutil.iter_modules(package.__path__, package.__name__ + ".")),
    ]


DOMAIN = [f"gfi.domain.{name}" for name in ("geometry", "layer_names", "methods", "presets", "recipes")]

# Modules whose functions are only called by gfi itself.
WITHOUT_EXAMPLE = {
    "gfi.metrics",
    "gfi.metrics.entropy",
    "gfi.peers.gradients",
    "gfi.peers.opti_cam",
    "gfi.peers.peer_engine",
    "gfi.method",
} | {
    f"gfi.method.{name}"
    for name in (
        "checkpoints",
        "cuda_graphs",
        "exported",
        "huggingface",
        "image_processor",
        "head",
        "inversion",
        "item",
        "layers",
        "memory",
        "model_bundle",
        "model_code",
        "model_digest",
        "model_files",
        "network",
        "parts",
        "pool",
        "precision",
        "registration",
        "suitability",
        "throughput",
        "transfers",
    )
}


@pytest.mark.parametrize("name", modules(gfi.metrics) + modules(gfi.peers) + modules(gfi.method) + DOMAIN)
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert (result.attempted == 0) == (name in WITHOUT_EXAMPLE)
