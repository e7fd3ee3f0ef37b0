"""The examples in the docstrings of `gfi.metrics` and `gfi.peers` run and print what they say."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import gfi.metrics
import gfi.peers


def modules(package: ModuleType) -> list[str]:
    return [
        package.__name__,
        *(m.name for m in pkgutil.iter_modules(package.__path__, package.__name__ + ".")),
    ]


# Modules whose functions are called by their own package alone.
WITHOUT_EXAMPLE = {"gfi.metrics", "gfi.metrics.entropy", "gfi.peers.gradients"}


@pytest.mark.parametrize("name", modules(gfi.metrics) + modules(gfi.peers))
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert (result.attempted == 0) == (name in WITHOUT_EXAMPLE)
