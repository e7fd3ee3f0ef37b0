"""Programs that some tests need and that no wheel brings."""

import os
import shutil

import pytest


def installed(name: str) -> str:
    """The path of a program. Without it the test is skipped, and fails where CI=true."""
    path = shutil.which(name)
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"{name} is not installed: make setup-system"
        )
    return path
