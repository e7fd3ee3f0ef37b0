"""Photographs of an audit: the task is told of each, however slowly a host sends them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.datasets.errors import DatasetError
from gfi.jobs.audits.views import Missing, Views


def test_the_check_is_called_after_each_photograph() -> None:
    read: list[str] = []
    checked_after: list[int] = []

    def fetch(key: str, version: str) -> Any:
        read.append(key)
        raise DatasetError("gone")

    source: Any = SimpleNamespace(fetch=fetch)
    entries = [SimpleNamespace(row=row, key=f"{row}.jpg", version="") for row in range(3)]
    manifest: Any = SimpleNamespace(pick=lambda rows: (entries[row] for row in rows))
    preprocess: Any = SimpleNamespace(size=(4, 4))
    config: Any = SimpleNamespace(recipe=None)
    views = Views(source, manifest, preprocess, config, lambda: checked_after.append(len(read)))
    with pytest.raises(Missing) as caught:
        views(np.arange(3))
    assert caught.value.rows == (0, 1, 2)
    assert len(checked_after) == 3
    assert views.why == {"unreadable": 3}
