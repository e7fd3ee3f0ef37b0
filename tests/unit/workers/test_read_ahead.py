"""Reading ahead: rows are announced before they are read, at most two chunks at once, without delaying the engine."""

import threading
from collections.abc import Sequence

import pytest

from gfi.datasets.errors import Unavailable
from gfi.datasets.manifest import Entry
from gfi.store.lease import LeaseLost
from workers.read_ahead import ReadAhead

ENTRIES = [Entry(row, f"{row}.jpg", 1, "v") for row in range(11)]
CHUNK = 3
LONG_S = 60.0


class Recorder:
    """Reads rows, and records what was announced, and what was announced or read too early."""

    def __init__(self) -> None:
        self.asked = 0
        """For how many rows the engine has asked so far."""
        self.announced: list[list[int]] = []
        self.touched: list[int] = []
        self.wrong: list[str] = []
        self._all_touched = threading.Condition()

    def announce(self, rows: Sequence[int]) -> None:
        self._allowed(rows[-1], "announced")
        self.announced.append(list(rows))

    def read(self, entry: Entry) -> int:
        if not self.announced or entry.row not in self.announced[-1]:
            self.wrong.append(f"{entry.row} read unannounced")
        self._allowed(entry.row, "read")
        with self._all_touched:
            self.touched.append(entry.row)
            self._all_touched.notify_all()
        return entry.row * 10

    def _allowed(self, row: int, what: str) -> None:
        """A chunk is started when the engine requests the first row of the previous chunk, and not earlier."""
        if row // CHUNK > 0 and self.asked <= (row // CHUNK - 1) * CHUNK:
            self.wrong.append(f"{row} {what} after {self.asked} were asked for")

    def wait_until_read(self, rows: int) -> None:
        with self._all_touched:
            assert self._all_touched.wait_for(lambda: len(self.touched) >= rows, LONG_S)

    def ahead(self, entries: Sequence[Entry] = ENTRIES, chunk: int = CHUNK) -> ReadAhead[int]:
        return ReadAhead(entries, self.read, announce=self.announce, progressed=lambda: None, chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 3, 11, 20])
def test_rows_come_in_order_and_are_announced_before_they_are_touched(chunk: int) -> None:
    seen = Recorder()
    seen.asked = len(ENTRIES)
    assert [(entry.row, decoded) for entry, decoded in seen.ahead(chunk=chunk)] == [
        (i, 10 * i) for i in range(11)
    ]
    assert not seen.wrong
    assert all(len(rows) <= 2 * chunk for rows in seen.announced)


def test_nothing_to_read_announces_nothing() -> None:
    seen = Recorder()
    assert list(seen.ahead([])) == []
    assert not seen.announced


def test_two_chunks_are_read_ahead_and_no_more_and_both_are_announced() -> None:
    seen = Recorder()
    rows = iter(seen.ahead())
    for expected in range(len(ENTRIES)):
        seen.asked += 1
        entry, _ = next(rows)
        assert entry.row == expected
        last = min((expected // CHUNK + 2) * CHUNK, len(ENTRIES))
        seen.wait_until_read(last)
        assert sorted(seen.touched) == list(range(last))
        assert set(range(expected, last)) <= set(seen.announced[-1])
    assert not seen.wrong


def test_the_engine_does_not_wait_while_the_ledger_is_told() -> None:
    seen, engine_is_done = Recorder(), threading.Event()
    seen.asked = len(ENTRIES)

    def slow_announce(rows: Sequence[int]) -> None:
        if rows[-1] >= CHUNK:  # any but the first, which the engine has to wait for
            assert engine_is_done.wait(LONG_S), "the engine waited for the announcement of the next chunk"
            engine_is_done.clear()
        seen.announce(rows)

    rows = ReadAhead(ENTRIES, seen.read, announce=slow_announce, progressed=lambda: None, chunk=CHUNK)
    taken = []
    for entry, _ in rows:
        taken.append(entry.row)
        if entry.row % CHUNK == CHUNK - 1:
            engine_is_done.set()
    assert taken == list(range(len(ENTRIES)))


def test_a_lease_lost_while_announcing_ends_the_iteration_and_no_row_of_that_chunk_is_touched() -> None:
    seen = Recorder()
    seen.asked = len(ENTRIES)

    def announce(rows: Sequence[int]) -> None:
        if 6 in rows:
            raise LeaseLost("gone")
        seen.announce(rows)

    rows = ReadAhead(ENTRIES, seen.read, announce=announce, progressed=lambda: None, chunk=CHUNK)
    taken = []
    with pytest.raises(LeaseLost):
        taken.extend(entry.row for entry, _ in rows)
    assert sorted(seen.touched) == list(range(6))


def test_an_outage_ends_the_iteration_at_its_row() -> None:
    def read(entry: Entry) -> int:
        if entry.row == 4:
            raise Unavailable("the bucket is away")
        return entry.row

    rows = ReadAhead(ENTRIES, read, announce=lambda rows: None, progressed=lambda: None, chunk=CHUNK)
    taken: list[int] = []

    def take() -> None:
        for entry, _ in rows:
            taken.append(entry.row)

    with pytest.raises(Unavailable):
        take()
    assert taken == [0, 1, 2, 3]


def test_an_iteration_that_is_closed_early_leaves_no_thread_that_could_announce_or_read() -> None:
    seen = Recorder()
    seen.asked = 1
    rows = iter(seen.ahead())
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    ours = [thread.name for thread in threading.enumerate() if thread.name.startswith(("announce", "decode"))]
    assert not ours
    assert not seen.wrong
