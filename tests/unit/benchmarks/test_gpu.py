"""The benchmark for a GPU, tried on the CPU with one small network: every kind of row, and what a cut run leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu


def written(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "gpu.json").read_text())
    return value


def test_a_dry_run_makes_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--out", str(tmp_path), "--device", "cpu", "--tiny"])
    result = written(tmp_path)
    assert result["tiny"]
    assert result["left_out"] == []
    rows = {(row["what"], row["precision"]): row for row in result["rows"]}
    assert [row["what"] for row in result["rows"][:4]] == ["rates", "rates", "rates", "speed"]
    assert result["rows"][-1]["what"] == "trace"
    for (what, precision), row in rows.items():
        if precision == "tf32":
            assert "CUDA devices only" in row["error"]
        else:
            assert "error" not in row, (what, row)
    speed = rows["speed", "float32"]
    assert speed["engine_images_per_s"] > 0
    assert speed["share_of_matrix_rate"] > 0
    assert speed["naive_images_per_s"] > 0
    assert rows["speed", "bfloat16"]["naive_images_per_s"] is None
    bits = rows["bits", "float32"]
    assert all(
        bits[f"{preset}_{kind}"] is True for preset in ("paper", "tuned") for kind in ("runs", "alone")
    )
    assert bits["paper_slots"] == "3 of 3"
    assert rows["graphs", "float32"]["same_bits_as_without"] is True
    assert rows["cpu", "float32"]["paper_largest"] == 0
    assert rows["trace", "float32"]["kernels"]


def test_a_cut_run_counts_and_names_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = gpu.Bench(tmp_path, "cpu", 3600, tiny=True)

    def stop() -> dict[str, Any]:
        bench.end = 0.0
        raise RuntimeError("out of something")

    done: list[str] = []
    monkeypatch.setattr(
        bench, "plan", lambda: iter([("rates a", stop), ("speed tiny a", dict), ("bits tiny a", dict)])
    )
    monkeypatch.setattr(bench, "trace", lambda: done.append("trace") or {})
    bench.run()
    result = written(tmp_path)
    assert result["left_out"] == ["speed tiny a", "bits tiny a"]
    assert [row["what"] for row in result["rows"]] == ["rates", "trace"]
    assert "RuntimeError: out of something" in result["rows"][0]["error"]
    assert done == ["trace"]


def test_without_a_gpu_it_says_how_to_try_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            gpu.main(["--out", str(tmp_path)])
        assert "--device cpu --tiny" in capsys.readouterr().err
