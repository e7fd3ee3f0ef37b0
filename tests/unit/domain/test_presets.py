"""The named recipes: their values, and that a new recipe is one new file."""

from pathlib import Path

import pytest

from gfi.domain import presets
from gfi.domain.presets import PAPER, PRESETS, RELEASED


def test_the_three_presets_come_first() -> None:
    assert list(PRESETS)[:3] == ["paper", "released", "tuned"]


def test_a_file_in_the_folder_is_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(presets.paper.__file__).read_text()
    (tmp_path / "a_fourth.py").write_text(source.replace('"paper",', '"fourth",'))
    monkeypatch.setattr(presets, "__path__", [*presets.__path__, str(tmp_path)])
    assert list(presets._collect()) == ["paper", "released", "tuned", "fourth"]


def test_presets_say_what_the_paper_and_the_released_program_say() -> None:
    assert (PAPER.steps_inversion, PAPER.steps_class, PAPER.gamma, PAPER.delta, PAPER.penalty) == (
        10,
        70,
        10,
        1,
        "l1",
    )
    assert (RELEASED.steps_inversion, RELEASED.steps_class) == (11, 69)
    assert (RELEASED.gamma, RELEASED.delta, RELEASED.penalty) == (5, 2, "squares")
    assert PAPER.steps == RELEASED.steps == 80
