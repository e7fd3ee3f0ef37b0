"""`import gfi` is cheap, and everything that was importable in version 0.1 still is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gfi


def test_the_version_of_the_package_is_the_newest_of_the_changelog() -> None:
    root = Path(__file__).parents[2]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    (newest, *_) = re.findall(
        r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert gfi.__version__ == declared == newest


def test_modules_of_version_0_1_are_attributes_of_gfi() -> None:
    assert gfi.recipes.recipe("paper") is gfi.recipes.PRESETS["paper"]
    assert gfi.depths.by_layer.__module__ == "gfi.method.depths"
    assert gfi.interpolation.matrix.__module__ == "gfi.domain.geometry"
    for name in ("metrics", "peers"):
        assert getattr(gfi, name).__name__ == f"gfi.{name}"
    with pytest.raises(AttributeError, match="module 'gfi' has no attribute 'nothing'"):
        _ = gfi.nothing


def test_importing_gfi_recipes_and_geometry_loads_no_torch() -> None:
    code = (
        "import sys, gfi, gfi.domain.presets, gfi.domain.geometry, gfi.domain.layer_names, gfi.domain.imagenet; "
        "gfi.domain.presets.PAPER; gfi.domain.geometry.matrix(2, 3, True); "
        "sys.exit(any(m.split('.')[0] in ('torch', 'torchvision', 'timm') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
