"""The page about reliability agrees with the code and with the measurements."""

import json

from gfi.domain.states import SHARD_TRANSITIONS, TRANSITIONS, JobState, ShardState
from tests.chaos.__main__ import RESULTS
from tests.chaos.deployment import LEASE_S
from tests.chaos.reliability import PAGE, page

COLUMNS = {
    *("scenario", "seed", "images", "kills", "lost", "duplicates", "orphans"),
    *("recovery_median_s", "recovery_worst_s", "detail"),
}


def _edges(text: str) -> list[set[tuple[str, str]]]:
    diagrams = text.split("```mermaid")[1:]
    return [
        {tuple(line.strip().split(" --> ")) for line in each.split("```")[0].splitlines() if " --> " in line}
        for each in diagrams
    ]


def test_the_diagrams_are_the_tables_of_transitions() -> None:
    for (first, table), edges in zip(
        (("queued", TRANSITIONS), ("pending", SHARD_TRANSITIONS)), _edges(PAGE.read_text()), strict=True
    ):
        assert edges == {("[*]", first)} | {(a, b) for a, after in table.items() for b in after}


def test_every_state_is_explained() -> None:
    text = PAGE.read_text()
    for states in (JobState, ShardState):
        for state in states:
            assert f"- **{state}**: " in text


def test_the_page_was_written_from_the_figures() -> None:
    assert PAGE.read_text() == page(json.loads(RESULTS.read_text()))


def test_nothing_was_lost_or_counted_twice_and_recovery_is_within_the_lease_and_five_seconds() -> None:
    rows = json.loads(RESULTS.read_text())
    assert rows
    for row in rows:
        assert set(row) == COLUMNS
        assert (row["lost"], row["duplicates"], row["orphans"]) == (0, 0, 0)
    for row in rows:
        if row["scenario"] == 1:
            assert row["kills"] >= 100
            assert row["images"] >= 5000
            assert row["recovery_worst_s"] <= LEASE_S + 5.0
