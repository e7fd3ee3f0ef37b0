"""External sort and merge join of streams of Arrow tables, by one column of texts.

    with tempfile.TemporaryDirectory() as folder:
        left, right = (SortedTables(blocks, "key", Path(folder)) for blocks in (one, other))
        for a, b in aligned(left, right, "key"): ...

`SortedTables` writes sorted runs into a folder and merges them, so memory holds a few blocks whatever the length.
`aligned` walks through two sorted streams and yields, step by step, all rows of both whose texts lie in one interval:
so a join finds every partner within the step. Texts are ordered by code point, as Arrow and Python both do.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

RUN_BYTES = 64 * 2**20
BLOCK_BYTES = 2 * 2**20
"""Of a block of a run. A merge holds one of each run: with 16 MB each, a million masks took 2.6 GB."""


class SortedTables:
    """The rows of `blocks` in the order of column `by`, in tables of some megabytes; can be read several times.

    Reads all blocks at construction and writes them into `folder`, which the caller deletes.
    """

    def __init__(self, blocks: Iterable[pa.Table], by: str, folder: Path, run_bytes: int = RUN_BYTES) -> None:
        self._by = by
        self._runs = list(_write_runs(blocks, by, folder, run_bytes))

    def __iter__(self) -> Iterator[pa.Table]:
        if len(self._runs) == 1:
            yield from _read_run(self._runs[0])
            return
        for parts in _aligned([_Cursor(_read_run(run), self._by) for run in self._runs]):
            yield pa.concat_tables(parts).sort_by(self._by)


def aligned(
    left: Iterable[pa.Table], right: Iterable[pa.Table], by: str
) -> Iterator[tuple[pa.Table | None, pa.Table | None]]:
    """Steps through two streams sorted by `by`: the rows of each whose texts lie in the step's interval.

    Rows with equal texts are always in one step. A side without rows in the interval is None.
    """
    for a, b in _aligned([_Cursor(left, by), _Cursor(right, by)], keep_empty=True):
        yield a if a is not None and len(a) else None, b if b is not None and len(b) else None


class _Cursor:
    """A sorted stream with a buffer of rows. `last`: the last text in the buffer, None after the end of the stream."""

    def __init__(self, blocks: Iterable[pa.Table], by: str) -> None:
        self._blocks, self._by = iter(blocks), by
        self._held: pa.Table | None = None
        self.last: str | None = None
        self.fill()

    def fill(self) -> None:
        """Read one more block into the buffer, or note the end of the stream."""
        block = next((block for block in self._blocks if len(block)), None)
        if block is None:
            self.last = None
            return
        self._held = block if self._held is None else pa.concat_tables([self._held, block])
        self.last = block.column(self._by)[len(block) - 1].as_py()

    def take(self, bound: str | None) -> pa.Table | None:
        """Remove the rows before `bound`, or all rows, from the buffer and return them."""
        if self._held is None:
            return None
        column = self._held.column(self._by)
        count = len(column)
        if bound is not None:
            count = bisect_left(range(count), bound, key=lambda row: column[row].as_py())
        taken, self._held = self._held.slice(0, count), self._held.slice(count)
        return taken


def _aligned(cursors: Sequence[_Cursor], keep_empty: bool = False) -> Iterator[list[pa.Table]]:
    while True:
        lasts = [cursor.last for cursor in cursors if cursor.last is not None]
        # Rows equal to the bound may continue in a block that is not read yet, so they wait.
        bound = min(lasts) if lasts else None
        taken = [cursor.take(bound) for cursor in cursors]
        if any(table is not None and len(table) for table in taken):
            yield taken if keep_empty else [table for table in taken if table is not None and len(table)]
        if bound is None:
            return
        for cursor in cursors:
            if cursor.last == bound:
                cursor.fill()


def _write_runs(blocks: Iterable[pa.Table], by: str, folder: Path, run_bytes: int) -> Iterator[Path]:
    """Sorted runs as files. A block that continues the run before it is appended, so sorted input is one run."""
    writer: pa.ipc.RecordBatchFileWriter | None = None
    path, last = folder, None
    for table in _stretches(blocks, run_bytes):
        ordered = table.sort_by(by).combine_chunks()
        column = ordered.column(by)
        if writer is None or last > column[0].as_py():
            if writer is not None:
                writer.close()
                yield path
            path = folder / f"run-{len(list(folder.iterdir()))}.arrow"
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writer = pa.ipc.new_file(path, ordered.schema, options=options)
        rows = max(1, BLOCK_BYTES * len(ordered) // max(ordered.nbytes, 1))
        writer.write_table(ordered, max_chunksize=rows)
        last = column[len(column) - 1].as_py()
    if writer is not None:
        writer.close()
        yield path


def _stretches(blocks: Iterable[pa.Table], run_bytes: int) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    size = 0
    for block in itertools.filterfalse(lambda block: not len(block), blocks):
        held.append(block)
        size += block.nbytes
        if size >= run_bytes:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)


def _read_run(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])
