"""Scores are stored in parts: finished parts are read, and only the rest is computed."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import scoring


@pytest.fixture
def setting() -> SimpleNamespace:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def probabilities(shown: torch.Tensor) -> torch.Tensor:
        bright = shown.mean((1, 2, 3)).clamp(0, 1)
        return torch.stack([bright, 1 - bright], 1)

    return SimpleNamespace(
        images=images,
        targets=torch.tensor([0, 1, 0]),
        probabilities=probabilities,
        grids={2: (images[:2], torch.tensor([0, 1]), torch.tensor([0, 3]))},
        key=lambda method: method,
    )


def test_an_interrupted_run_continues_where_it_was(
    setting: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def masks(_: object, method: str, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        made.append(len(images))
        return images.mean(1, keepdim=True)

    monkeypatch.setattr(scoring, "masks", masks)
    monkeypatch.setattr(scoring, "energies", lambda setting, method: {"energy": [0.5]})

    def score() -> scoring.Scores:
        return scoring.score(setting, "tuned", 3, True, ["mean", "imputation"], tmp_path, imputed=2)  # type: ignore[arg-type]

    scores = score()
    assert made == [3, 2]  # the photographs once, the grids once
    assert {name: len(values) for name, values in scores.items()} == {
        "insertion mean": 3,
        "deletion mean": 3,
        "insertion imputation": 2,
        "deletion imputation": 2,
        "average_drop": 3,
        "average_increase": 3,
        "area": 3,
        "share 2": 2,
        "hit 2": 2,
        "energy": 1,
    }
    assert score() == scores
    assert made == [3, 2]
    (tmp_path / "tuned-3-mean.json").unlink()
    assert score() == scores
    assert made == [3, 2]
    (tmp_path / "tuned-3-grids2.json").unlink()
    assert score() == scores
    assert made == [3, 2, 2]
