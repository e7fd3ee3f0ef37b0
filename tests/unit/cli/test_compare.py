"""The options of `gfi compare` that do not go together."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gfi.cli.compare import compare
from gfi.cli.errors import CommandError
from gfi.cli.reading import read_text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--unpaired --floor C", "--unpaired goes with neither --floor nor --gate nor --transfer"),
        ("--junit x.xml", "--junit goes with --gate"),
        ("--look 3", "--look goes with --gate"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(words: str, reason: str) -> None:
    done = CliRunner().invoke(compare, ["A", "B", *words.split()])
    assert done.exit_code == 2
    assert reason in done.output


def test_a_gate_that_is_no_text_is_refused_before_anything_is_compared(tmp_path: Path) -> None:
    gate = tmp_path / "gate.toml"
    gate.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match=r"gate\.toml is not text in UTF-8"):
        read_text(gate)
    gate.write_bytes("\ufeff[gate]".encode())
    assert read_text(gate) == "[gate]"
