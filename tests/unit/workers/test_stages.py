"""Seconds by stage: of blocks, of iterators inside iterators, of blocks that fail."""

from collections.abc import Iterator

import pytest

from workers import stages
from workers.stages import Stages


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test moves: the time is the sum of the list."""
    times = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: sum(times))
    return times


def test_the_optimiser_has_the_time_in_which_it_did_not_wait_for_photographs(passes: list[float]) -> None:
    seen = Stages()

    def photographs() -> Iterator[int]:
        for number in range(2):
            passes.append(1.0)
            yield number

    def explained() -> Iterator[int]:
        for number in seen.each("wait", photographs()):
            passes.append(10.0)
            yield number

    for _ in seen.each("optimise", explained()):
        passes.append(100.0)  # measured elsewhere
    assert seen.seconds() == {"optimise": 20.0}


def test_a_block_that_fails_is_counted(passes: list[float]) -> None:
    seen = Stages()

    def fail() -> None:
        with seen.timed("upload"):
            passes.append(3.0)
            raise OSError("away")

    with pytest.raises(OSError, match="away"):
        fail()
    with seen.timed("upload"):
        passes.append(4.0)
    assert seen.seconds() == {"upload": 7.0}
