"""`make bench-parity` on a small network and a bundled photograph."""

from benchmarks.parity import GOAL, compared
from gfi import samples
from gfi.method.classifiers import from_module
from tests.unit.method.networks import Small


def test_a_row_compares_the_engine_with_the_port() -> None:
    row = compared(from_module(Small(), (32, 32)), samples.path() / "cat.jpg")
    assert row["photograph"] == "cat.jpg"
    assert row["steps"] == row["steps_float64"] > 5
    assert row["mask_float64"] <= GOAL
    assert row["kept_float64"] <= GOAL
    assert row["mask_float32"] <= 1
