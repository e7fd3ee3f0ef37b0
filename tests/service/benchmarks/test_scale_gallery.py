"""The gallery of `make bench-scale`, with few rows."""

import pytest

from benchmarks import scale, scale_gallery
from gfi.store import queries
from gfi.store.database import Database


def test_the_rows_are_listed_sorted_and_deleted(database: Database) -> None:
    if database.is_sqlite:
        return  # the rows are written by PostgreSQL
    figures = scale.Figures()
    job = scale_gallery.measure(database, figures, 400)
    by_area = queries.list_results(database, job, sort="area", limit=400)
    assert [row.area for row in by_area] == sorted(row.area or 0 for row in by_area)
    assert len(by_area) == 400
    scale_gallery.delete(database, figures, job, 400)
    assert queries.list_results(database, job) == []
    assert {row["unit"] for row in figures.rows} == {"results/s", "bytes/result", "ms", "s"}


def test_the_sums_are_those_of_so_many_images(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_gallery, "CLASSES", 30)
    figures = scale.Figures()
    scale_gallery.summarise(database, figures, 50_000)  # asserts the number of images
    assert any(row["what"].startswith("class table of") for row in figures.rows)
