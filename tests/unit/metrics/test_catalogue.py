"""Every metric of the catalogue has its file, its columns and its line in the docs."""

from importlib import import_module
from pathlib import Path

import pytest

from gfi.domain.metrics import CATALOGUE, COLUMNS

DOCS = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_metric_has_a_file_columns_and_a_line_in_the_docs(name: str) -> None:
    metric = CATALOGUE[name]
    assert callable(import_module(f"gfi.metrics.{name}").measure)
    assert all(COLUMNS[column.name] is column for column in metric.columns)
    assert f"| `{name}` |" in DOCS
    assert all(f"`{column.name}`" in DOCS for column in metric.columns)
