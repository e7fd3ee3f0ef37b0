"""The benchmark of the engine runs every kind of step and computes rates from their times."""

import json

import pytest
import torch

from benchmarks import engine


def test_a_row_is_computed_from_the_medians_of_single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.NETWORKS, "squeezenet", "torchvision:squeezenet1_1@seed:0")
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: None)  # it would stay set for other tests
    ran = []

    def timed(run: object, device: torch.device) -> float:
        ran.append(run())  # type: ignore[operator]
        return 0.01 * (1 + len(ran) % 8)

    monkeypatch.setattr(engine, "timed", timed)
    monkeypatch.setattr(engine, "ROUNDS", 1)
    monkeypatch.setattr(engine, "SECONDS", 0.0)
    row = engine.measure("squeezenet", "cpu", 1)
    assert len(ran) == 8 + 2 + 1
    # Seconds by kind, in order: engine start .02, bound start .03, engine 1 .04, bound 1 .05, engine 2 .06, bound 2
    # .07, naive 1 .08, naive 2 .01.
    assert row["engine_images_per_s"] == pytest.approx(1 / (0.02 + 10 * 0.04 + 70 * 0.06 + 0.035), abs=1e-5)
    assert row["floor_images_per_s"] == pytest.approx(1 / (0.03 + 10 * 0.05 + 70 * 0.07), abs=1e-5)
    assert row["naive_images_per_s"] == pytest.approx(1 / (10 * 0.08 + 70 * 0.01), abs=1e-5)
    # Afterwards the scores .02, their passes .03, and Grad-CAM .04.
    assert (row["scores_s"], row["scores_over_floor"], row["grad_cam_images_per_s"]) == (0.02, 1.5, 25.0)
    assert row["tuned_images_per_s"] > 0
    assert row["rounds"] == 1
    assert set(row) >= set(json.loads((engine.HERE / "results" / "engine.json").read_text())[0])
