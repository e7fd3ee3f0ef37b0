"""Intervals, paired differences, and the rows of a first run that a second run keeps."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality


def test_the_interval_of_a_constant_is_that_constant_and_wider_values_widen_it() -> None:
    assert quality.interval(np.full(20, 0.25)) == [0.25, 0.25]
    low, high = quality.interval(np.array([0.0, 1.0] * 50))
    assert low == pytest.approx(0.4, abs=0.02)  # 0.5 ± 1.96 · 0.5/√100
    assert high == pytest.approx(0.6, abs=0.02)


def test_a_difference_pairs_the_photographs_that_both_methods_have() -> None:
    scores, reference = {"insertion blur": [0.5, 0.7]}, {"insertion blur": [0.4, 0.6, 0.0]}
    assert quality.difference(scores, reference, "insertion blur") == {
        "difference": 0.1,
        "difference_ci": [0.1, 0.1],
    }
    assert quality.difference(scores, reference, "share 2")["difference"] is None


def test_rows_of_other_networks_methods_and_fills_are_kept_and_the_sample_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "quality.json"

    def row(network: str, method: str, insertion: float, fill: str = "blur") -> dict:
        return {"network": network, "method": method, "fill": fill, "insertion": insertion}

    sample = quality.SAMPLE
    first = quality.merged(file, "other", {"machine": "a"}, [row("other", "tuned", 0.1)])
    file.write_text(json.dumps(first))
    new = [row(sample, "tuned", 0.5, "photograph"), row(sample, "tuned", 0.2), row(sample, "grad-cam", 0.3)]
    file.write_text(json.dumps(quality.merged(file, sample, {"machine": "b"}, new)))
    last = quality.merged(file, sample, {"machine": "c"}, [row(sample, "tuned", 0.4)])
    assert [(r["network"], r["method"], r["insertion"]) for r in last["rows"]] == [
        (sample, "grad-cam", 0.3),
        (sample, "tuned", 0.4),
        (sample, "tuned", 0.5),
        ("other", "tuned", 0.1),
    ]
    assert last["facts"] == {"other": {"machine": "a"}, sample: {"machine": "c"}}
