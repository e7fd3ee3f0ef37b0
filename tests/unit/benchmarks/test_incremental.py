"""The figures of `make bench-incremental`, on small listings."""

from pathlib import Path

import pytest

from benchmarks import incremental


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_the_plan_has_the_changes_that_were_made(tmp_path: Path, order: str) -> None:
    new, earlier = tmp_path / "new", tmp_path / "earlier"
    incremental.write(new, incremental.listing(20_000, order, True))
    incremental.write(earlier, incremental.listing(20_000, order, False))
    row = incremental.join(new, earlier)
    # 100 new, 1 % of the other 19,900 changed, 100 gone.
    assert (row["explained"], row["carried"], row["removed"]) == (100 + 199, 19_701, 100)
