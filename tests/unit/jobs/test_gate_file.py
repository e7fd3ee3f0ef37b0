"""The gate file that `gfi gate init` writes can be read, and says what the two jobs measured."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from gfi.drift.comparison import Accumulator
from gfi.drift.gate import GateSpec, parse_gate
from gfi.jobs.compare import Compared
from gfi.jobs.gate_file import gate_file
from tests.unit.drift.tables import pairs_of, run


def made() -> Any:
    a = [row | {"deletion": 0.2} for row in run(np.random.default_rng(0), 2, 20)]
    b = [row | {"deletion": 0.3} for row in run(np.random.default_rng(1), 2, 20)]
    blocks, counts = pairs_of(a, b, ("deletion",))
    accumulator = Accumulator(None)
    for block in blocks:
        accumulator.add(block)
    jobs = {"a": SimpleNamespace(id="01A"), "b": SimpleNamespace(id="01B")}
    return SimpleNamespace(
        comparison=accumulator.comparison(counts), names={0: "cat", 1: 'the "dog"'}, **jobs
    )


def test_the_file_has_the_defaults_and_is_read_back() -> None:
    text = gate_file(cast(Compared, made()))
    assert parse_gate(text) == GateSpec(limits={"flips": 0.02})
    assert '# classes = ["cat", "the \\"dog\\""]' in text
    assert "# deletion (lower is better): here 0.200 and 0.300." in text


def test_a_limit_of_flips_that_is_made_from_two_jobs_without_a_common_prediction_can_fail() -> None:
    lost = made()
    lost.comparison.counts.flipped_images = lost.comparison.counts.images
    assert parse_gate(gate_file(cast(Compared, lost))).limits == {"flips": 0.5}


def test_every_line_that_is_commented_out_can_be_taken() -> None:
    text = gate_file(cast(Compared, made()))
    begins = ("[", "no_new", "comparisons", "class", "owner", "until", "reason", "deletion =")
    taken = "\n".join(
        line.removeprefix("# ") if line.startswith(tuple(f"# {word}" for word in begins)) else line
        for line in text.splitlines()
        if line != 'classes = "all"'
    )
    spec = parse_gate(taken)
    assert spec.moved.classes == ["cat", 'the "dog"']
    assert spec.limits["deletion"] == 0.05
    assert (spec.nightly is not None, spec.audit.no_new_shortcuts, spec.waivers[0].class_) == (
        True,
        True,
        "cat",
    )
