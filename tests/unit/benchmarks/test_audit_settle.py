"""`make bench-audit-settle` continues where it was interrupted."""

from typing import Any

from benchmarks.audit_settle import SCENARIOS, every_row
from benchmarks.planted import CLASSES


def row(scenario: str, run: int, images: int = 5 * len(CLASSES)) -> dict[str, Any]:
    return {"scenario": scenario, "run": run, "images": images, "by": "before"}


def test_rows_that_exist_are_kept_and_the_others_are_made_in_their_order() -> None:
    first, second, third = SCENARIOS
    known = [row(second, 0), row(first, 4), row(third, 0, images=7)]
    asked: list[tuple[str, int]] = []

    def made(scenario: str, run: int) -> dict[str, Any]:
        asked.append((scenario, run))
        return row(scenario, run) | {"by": "now"}

    written = list(every_row(known, 2, 5, made))
    assert asked == [(first, 0), (first, 1), (second, 1), (third, 0), (third, 1)]
    assert len(written) == 5  # the file is whole after each
    assert [(one["scenario"], one["run"], one["by"]) for one in written[0]] == [
        (first, 0, "now"),
        (second, 0, "before"),
        (first, 4, "before"),
    ]
    assert len(written[-1]) == 7
    assert list(every_row(written[-1], 2, 5, made)) == []
    assert len(asked) == 5
    assert sum(len(one) for one in every_row([], 1, 5, made)) == 1 + 2 + 3
