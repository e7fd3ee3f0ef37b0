"""The benchmark of the API fills today's schema and gets every page that it measures."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from benchmarks import api as benchmark
from gfi.api import create_app
from gfi.store import ledger
from gfi.store.database import Database
from tests.servers import Postgres


def test_every_page_is_measured(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"RESULTS": 3000, "DEEP": 2500, "JOBS": 120, "REPEATS": 1}
    for name, value in sizes.items():
        monkeypatch.setattr(benchmark, name, value)
    url = postgres.create()
    database = Database(url)
    filled = benchmark.fill(database)
    token = ledger.create_token(database, "bench", ["read"])[1]
    environment = {
        "GFI_HOME": str(tmp_path),
        "GFI_DATABASE_URL": url,
        "GFI_REDIS_URL": "redis://127.0.0.1:1/0",
        "GFI_S3_BUCKET": "none",
        "GFI_S3_ENDPOINT": "http://127.0.0.1:1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    figures = benchmark.Figures()
    with TestClient(create_app(), headers={"Authorization": f"Bearer {token}"}) as client:
        benchmark.pages(client, filled.large, figures)
        benchmark.analysis(client, filled, figures)
    benchmark.report_numbers(database, filled.large, figures)
    database.dispose()
    postgres.drop(url)
    assert len(figures.rows) == 31
    assert all(row["median_ms"] > 0 for row in figures.rows)
