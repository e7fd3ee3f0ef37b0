"""Reading ahead: told before touched, no more than two chunks, and never in the engine's way."""

import threading
import time
from collections.abc import Sequence

import pytest

from gfi.datasets.errors import Unavailable
from gfi.datasets.manifest import Entry
from workers.lease import LeaseLost
from workers.readahead import Readahead

ENTRIES = [Entry(row, f"{row}.jpg", 1, "v") for row in range(11)]


class Recorder:
    """Reads rows, and notes what was announced and when."""

    def __init__(self, announce_s: float = 0.0) -> None:
        self.announce_s = announce_s
        self.announced: list[list[int]] = []
        self.touched: list[int] = []
        self.untold: list[int] = []

    def announce(self, rows: Sequence[int]) -> None:
        time.sleep(self.announce_s)  # a slow ledger
        self.announced.append(list(rows))

    def read(self, entry: Entry) -> int:
        if not self.announced or entry.row not in self.announced[-1]:
            self.untold.append(entry.row)
        self.touched.append(entry.row)
        return entry.row * 10

    def ahead(self, entries: Sequence[Entry] = ENTRIES, chunk: int = 3) -> Readahead[int]:
        return Readahead(entries, self.read, announce=self.announce, beat=lambda: None, chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 3, 11, 20])
def test_rows_come_in_order_and_are_announced_before_they_are_touched(chunk: int) -> None:
    seen = Recorder()
    assert [(entry.row, found) for entry, found in seen.ahead(chunk=chunk)] == [
        (i, 10 * i) for i in range(11)
    ]
    assert not seen.untold
    assert all(len(rows) <= 2 * chunk for rows in seen.announced)


def test_nothing_to_read_announces_nothing() -> None:
    seen = Recorder()
    assert list(seen.ahead([])) == []
    assert not seen.announced


def test_no_more_than_two_chunks_are_under_way_and_both_are_announced() -> None:
    seen = Recorder()
    rows = iter(seen.ahead())
    for handed in range(11):
        entry, _ = next(rows)
        time.sleep(0.02)  # whatever may be read ahead has been read
        assert entry.row == handed
        last = (handed // 3 + 2) * 3
        assert sorted(seen.touched) == list(range(min(last, 11)))
        assert set(range(handed, min(last, 11))) <= set(seen.announced[-1])


def test_the_engine_does_not_wait_while_the_ledger_is_told() -> None:
    seen = Recorder(announce_s=0.1)
    rows = iter(seen.ahead())
    next(rows)
    asked = time.monotonic()
    taken = 0
    for _ in rows:
        taken += 1
        time.sleep(0.05)  # the engine computes: 0.15 s a chunk
    assert taken == 10
    assert time.monotonic() - asked - 10 * 0.05 < 0.2, "three announcements of 0.1 s were waited for"


def test_a_lease_lost_while_announcing_ends_the_iteration_and_no_row_of_that_chunk_is_touched() -> None:
    seen = Recorder()
    tell = seen.announce

    def announce(rows: Sequence[int]) -> None:
        if 6 in rows:
            raise LeaseLost("gone")
        tell(rows)

    rows = Readahead(ENTRIES, seen.read, announce=announce, beat=lambda: None, chunk=3)
    handed = []
    with pytest.raises(LeaseLost):
        handed.extend(entry.row for entry, _ in rows)
    assert sorted(seen.touched) == list(range(6))


def test_an_outage_ends_the_iteration_at_its_row() -> None:
    def read(entry: Entry) -> int:
        if entry.row == 4:
            raise Unavailable("the bucket is away")
        return entry.row

    rows = Readahead(ENTRIES, read, announce=lambda rows: None, beat=lambda: None, chunk=3)
    handed: list[int] = []

    def take() -> None:
        for entry, _ in rows:
            handed.append(entry.row)

    with pytest.raises(Unavailable):
        take()
    assert handed == [0, 1, 2, 3]


def test_whoever_stops_taking_leaves_no_thread_and_no_announcement_behind() -> None:
    seen = Recorder(announce_s=0.05)
    before = threading.active_count()
    rows = iter(seen.ahead())
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    told = len(seen.announced)
    assert threading.active_count() == before
    time.sleep(0.15)  # three times what one more announcement would have taken
    assert len(seen.announced) == told
