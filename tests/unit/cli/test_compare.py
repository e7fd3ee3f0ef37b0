"""The options of `gfi compare` that do not go together."""

import pytest
from click.testing import CliRunner

from gfi.cli.compare import compare


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
