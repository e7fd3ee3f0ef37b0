"""`gfi bench`: what it measures, prints and keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gfi.cli import bench_model, open_service
from gfi.cli.errors import CommandError
from gfi.cli.main import gfi
from gfi.domain.metrics import CATALOGUE
from gfi.jobs.rates import BenchRate
from tests.unit.method.written_models import GOOD, write


class Kept:
    """In place of a service: what was kept."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, str, list[BenchRate]]] = []

    def save_rates(self, model: str, digests: Any, device_kind: str, rates: list[BenchRate]) -> None:
        self.calls.append((model, digests, device_kind, rates))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model `mine`."""
    write(tmp_path, GOOD)
    monkeypatch.setenv("GFI_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("GFI_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(gfi, ["bench", "mine", "--seconds", "1", "--batch", "2", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_every_preset_is_measured_and_kept(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    monkeypatch.setattr(open_service, "open_service", lambda: kept)
    measured = json.loads(run("--json", "--price-device-hour", "3.6"))
    assert [row["preset"] for row in measured["presets"]] == ["paper", "released", "tuned"]
    network = {name for name, metric in CATALOGUE.items() if metric.needs == "network"}
    assert set(measured["metrics"]) == network
    for row in measured["presets"]:
        assert row["batch"] == 2
        assert row["images_per_s"] > row["images_per_s_with_metrics"] > 0
        assert row["device_seconds_per_million"] == pytest.approx(1e6 / row["images_per_s"], abs=1)
        assert row["usd_per_million"] == pytest.approx(row["device_seconds_per_million"] / 1000, abs=0.01)
        assert row["peak_bytes"] > 1e6
    assert measured["not_remembered"] is None
    ((model, digests, kind, rates),) = kept.calls
    assert (model, kind, len(rates)) == ("mine", "cpu", 3 * (1 + len(network)))
    assert measured["digests"] == digests
    plain = next(rate for rate in rates if rate.preset == "tuned" and not rate.metrics)
    assert plain.images_per_s == pytest.approx(measured["presets"][2]["images_per_s"])
    assert (plain.batch, plain.peak_bytes) == (2, measured["presets"][2]["peak_bytes"])


def test_memory_is_kept_of_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    monkeypatch.setattr(open_service, "open_service", lambda: kept)
    row = {"preset": "tuned", "batch": 2, "peak_bytes": 10**9, "images_per_s": 1.0}
    about = {"model": "mine", "digests": [], "device_kind": "cuda:A10", "metrics": {}, "presets": [row]}
    for dtype in ("float32", "bfloat16"):
        assert bench_model.remember({**about, "dtype": dtype}) is None
    assert [rates[0].peak_bytes for *_, rates in kept.calls] == [10**9, None]


def test_the_table_fits_80_columns_and_says_why_nothing_was_kept(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> None:
        raise CommandError("nothing is running: gfi up -d")

    monkeypatch.setattr(open_service, "open_service", nothing)
    name = "Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz with a long name, 16 threads"
    monkeypatch.setattr(bench_model, "_device_name", lambda engine: name)
    shown = run("--preset", "paper", "--price-device-hour", "1234.5")
    assert max(map(len, shown.splitlines())) <= 80
    assert "deletion, insertion" in shown
    assert "USD" in shown
    assert shown.endswith("not kept for estimates: nothing is running: gfi up -d\n")


def test_a_preset_that_does_not_exist_is_one_line(models: Path) -> None:
    done = CliRunner().invoke(gfi, ["bench", "mine", "--preset", "papr"])
    assert "papr" in str(done.exception)
    assert "paper" in str(done.exception)
