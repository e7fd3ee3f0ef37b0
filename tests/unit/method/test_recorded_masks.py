"""The presets, and every value of every field that chooses a part, give the same masks as in version 0.1.0."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.method import recording

FIXTURES = Path(__file__).parents[2] / "fixtures"
RECORDED = json.loads((FIXTURES / "preset_masks.json").read_text())
MASKS = np.load(FIXTURES / "preset_masks.npz")


STATUS = recording.WORDS.index("status")
"""The place of the status in a recorded row. Version 0.1.0 decided between `ok` and `target_lost` by another rule."""


def float32_is_comparable() -> bool:
    """Whether float32 must give the recorded bits: only on the same kind of processor with the same torch."""
    made_with = RECORDED["made_with"]
    return (
        made_with["torch"] == torch.__version__
        and made_with["capability"] == torch.backends.cpu.get_cpu_capability()
        and made_with["processor"] == recording.processor()
    )


def runs() -> list[tuple[str, str]]:
    """The presets in float64 everywhere; the variants in float32 where bits can be compared, otherwise in float64."""
    comparable = float32_is_comparable()
    presets = [case for case in recording.CASES if case.startswith("small/") and case.count("-") == 0]
    variants = [case for case in recording.CASES if case not in presets]
    both = ["float64", "float32"] if comparable else ["float64"]
    return [(case, dtype) for case in presets for dtype in both] + [(case, both[-1]) for case in variants]


def test_every_case_was_recorded() -> None:
    assert set(RECORDED["cases"]) == set(recording.CASES)
    assert set(MASKS.files) == {f"{case}/{dtype}" for case in recording.CASES for dtype in recording.DTYPES}


def test_the_presets_and_their_digests_are_the_recorded_ones() -> None:
    _, metadata = recording.record(only=[])
    for name, preset in RECORDED["presets"].items():
        now = metadata["presets"][name]
        assert {
            field: now[field] for field in preset
        } == preset  # later fields are in no digest at their defaults
        assert metadata["preset_digests"][name] == RECORDED["preset_digests"][name]


@pytest.mark.parametrize(("case", "dtype"), runs())
def test_masks_are_the_recorded_ones(case: str, dtype: str) -> None:
    arrays, metadata = recording.record(only=[case], dtypes=[dtype])
    masks, wanted = arrays[f"{case}/{dtype}"], MASKS[f"{case}/{dtype}"]
    now: dict[str, Any] = json.loads(json.dumps(metadata["cases"][case]))
    before = RECORDED["cases"][case]
    for fact in ("recipe_digest", "model_digest", "layers", "how"):
        assert now[fact] == before[fact]
    now, before = now["results"][dtype], before["results"][dtype]
    assert now["order"] == before["order"], "images leave in another order"
    for result in (now, before):
        for row in result["explanations"]:
            row[STATUS] = "ok" if row[STATUS] == "target_lost" else row[STATUS]
    if dtype == "float32":
        assert np.array_equal(masks, wanted, equal_nan=True)
        assert now == before
        return
    np.testing.assert_allclose(masks, wanted, atol=1e-8, rtol=0)
    words, numbers = len(recording.WORDS), len(recording.NUMBERS)
    for one, other in zip(now["explanations"], before["explanations"], strict=True):
        assert one[:words] == other[:words]
        values = [[float(value) for value in row[-numbers:]] for row in (one, other)]
        np.testing.assert_allclose(*values, atol=1e-8, rtol=1e-8)
