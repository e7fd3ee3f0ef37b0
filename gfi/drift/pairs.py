"""The results of two jobs as pairs: the same key, version and target, both with a mask.

A job's results come as a stream of tables (`RESULTS`, and a column for each measured metric) in the order of keys. Each
image of the two jobs is counted once, under the first of these that applies (`Counts`):

    only_a, only_b   only one job has it
    other_version    its bytes are not the same
    flipped          the two models predict different classes, so their masks explain different decisions
    without_mask     one job has no mask of it
    other_target     the two masks explain different classes
    paired           compared; where several classes of an image were explained, each is a pair

Of two jobs with a result for each label, each label of an image is counted once, whatever its place in the listing. A
network that decides about each class for itself finds a label or does not: it flips where only one of the two finds
it, whichever class either takes for more probable. With several labels of an image, `images` and `flipped_images` count
it once: the labels of an image share one prediction, or much of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gfi.domain.statuses import UNUSABLE
from gfi.drift.distances import CELLS, Cells, Drawing, frames, to_cells
from gfi.drift.sorted_tables import aligned

DRAWING = ("grid_height", "grid_width", "input_height", "input_width", "align_corners")
"""The columns, as integers, that say how a grid becomes a mask."""
BOX = ("left", "top", "right", "bottom")
"""The columns of the rectangle that the network saw, in original pixels."""
RESULTS = pa.schema(
    [
        ("key", pa.string()),
        ("version", pa.string()),
        ("row", pa.int64()),
        ("target_rank", pa.int32()),
        ("target", pa.int32()),
        ("prediction", pa.int32()),
        ("status", pa.string()),
        ("grid", pa.binary()),  # float32, null where there is no mask
        *((name, pa.int32()) for name in DRAWING),
        *((name, pa.float64()) for name in BOX),
    ]
)
"""The columns of a result that pairing reads."""
PAIRS_AT_ONCE = 1024
"""Pairs in one `PairBlock`, as far as it holds whole images: about 25 MB while their distances are computed."""

MOST_ROWS = 2000
"""Images that are named as flipped, and as moved: a selection for the gallery."""
_SEPARATOR = "\0"  # keys cannot contain it
_UNKNOWN, _NOT_FOUND = -1, -2  # in place of a class that is predicted
_OUTCOMES = ("only_a", "only_b", "other_version", "flipped", "without_mask", "other_target", "paired")


@dataclass
class Counts:
    """The counts of the images of two jobs by outcome; see the module. `statuses`: (a's, b's) of each pair → pairs."""

    only_a: int = 0
    only_b: int = 0
    other_version: int = 0
    flipped: int = 0
    without_mask: int = 0
    other_target: int = 0
    paired: int = 0
    images: int = 0
    """With equal bytes, each once, whatever the number of its labels."""
    flipped_images: int = 0
    """Of these, any label of which flipped."""
    unpredicted: int = 0
    """Of `same_version`, those without a prediction in one of the jobs: whether they flipped is not known."""
    unpredicted_images: int = 0
    """Of `images`, those of which this is so at every label."""
    flips_by_class: Counter[int] = field(default_factory=Counter)
    images_by_class: Counter[int] = field(default_factory=Counter)
    unpredicted_by_class: Counter[int] = field(default_factory=Counter)
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    flipped_rows: list[tuple[int, int]] = field(default_factory=list)
    """(a's row, b's row) of the first flipped images, at most `MOST_ROWS`."""

    @property
    def same_version(self) -> int:
        """Images of both jobs with equal bytes, or their labels: those of which flips are counted."""
        return self.flipped + self.without_mask + self.other_target + self.paired

    @property
    def predicted_images(self) -> int:
        """The images of which it is known whether they flipped."""
        return self.images - self.unpredicted_images

    def predicted_of(self, index: int) -> int:
        """Of a class, the images, or labels, of which it is known whether they flipped."""
        return self.images_by_class[index] - self.unpredicted_by_class[index]

    def to_json(self) -> dict[str, int]:
        """How many have each outcome, by name."""
        return {name: getattr(self, name) for name in _OUTCOMES}


@dataclass(frozen=True)
class PairBlock:
    """Up to 1,024 pairs: masks on the common grid, and the other compared values. All pairs of an image are in one
    block, one after the other.

    keys: (N,) texts. rows_a, rows_b, targets: (N,). a, b: (N, 28, 28). bit_equal: (N,), the stored grids have equal
    bytes. ok_a, ok_b: (N,), the status is ok. metrics: name → (a's, b's), (N,) each, NaN where not measured.
    """

    keys: NDArray[np.object_]
    rows_a: NDArray[np.int64]
    rows_b: NDArray[np.int64]
    targets: NDArray[np.int64]
    a: Cells
    b: Cells
    bit_equal: NDArray[np.bool_]
    ok_a: NDArray[np.bool_]
    ok_b: NDArray[np.bool_]
    metrics: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def images(self) -> NDArray[np.intp]:
        """The number of each pair's image within the block, counted from 0: (N,)."""
        return np.asarray(np.cumsum(_starts_image(self.keys)) - 1, np.intp)

    @property
    def weights(self) -> NDArray[np.float64]:
        """1 / the number of pairs of the image, (N,): they sum to the number of images. The masks of an image are no
        independent observations, so whatever is judged over all classes counts each image once."""
        return 1 / np.bincount(self.images)[self.images]


def pair_results(
    a: Iterable[pa.Table],
    b: Iterable[pa.Table],
    counts: Counts,
    metrics: Sequence[str] = (),
    flipped: Callable[[PairBlock], None] | None = None,
    *,
    each_label: bool = False,
    sigmoid: bool = False,
) -> Iterator[PairBlock]:
    """The pairs of two streams of results, each sorted by key. Adds to `counts` as it goes.

    metrics: columns that both streams have beside `RESULTS`. flipped: is called with the flipped images for which both
    jobs explained the same class, which happens where labels decide the class; they are no pairs. each_label: whether
    both jobs have a result for each label of an image; sigmoid: whether a network decides there about each class for
    itself.
    """
    for left, right in aligned(a, b, "key"):
        if left is None or right is None:
            counts.only_a += _images(left, each_label)
            counts.only_b += _images(right, each_label)
            continue
        yield from _pairs_of_step(left, right, counts, metrics, flipped, each_label, each_label and sigmoid)


def _images(table: pa.Table | None, each_label: bool) -> int:
    if table is None or each_label:
        return 0 if table is None else len(table)
    return int(pc.sum(pc.equal(table.column("target_rank"), 0)).as_py() or 0)


def _pairs_of_step(
    left: pa.Table,
    right: pa.Table,
    counts: Counts,
    metrics: Sequence[str],
    on_flipped: Callable[[PairBlock], None] | None,
    each_label: bool,
    sigmoid: bool,
) -> Iterator[PairBlock]:
    whole_a, whole_b = (left, right) if each_label else (_first_ranks(table) for table in (left, right))
    single = len(whole_a) == len(left) and len(whole_b) == len(right)
    if each_label:
        at_a, at_b = _matches(_labels(left, right), _labels(right, left))
    else:
        at_a, at_b = _matches(whole_a.column("key"), whole_b.column("key"))
    counts.only_a += len(whole_a) - len(at_a)
    counts.only_b += len(whole_b) - len(at_b)
    # Without the grids, which are copied once, for the rows that are compared.
    first_a, first_b = _rows(_without_grid(whole_a), at_a), _rows(_without_grid(whole_b), at_b)

    same = _equal(first_a, first_b, "version")
    counts.other_version += int((~same).sum())
    one, other = (_predictions(table, sigmoid) for table in (first_a, first_b))
    predicted = same & (one != _UNKNOWN) & (other != _UNKNOWN)
    flipped = predicted & (one != other)
    counts.flipped += int(flipped.sum())
    counts.unpredicted += int((same & ~predicted).sum())
    images = _number_of_images(first_a, same)
    counts.images += images
    counts.unpredicted_images += images - _number_of_images(first_a, predicted)
    counts.flipped_images += _number_of_images(first_a, flipped)
    named = np.flatnonzero(flipped)[: MOST_ROWS - len(counts.flipped_rows)]
    rows = (_numbers(table, "row")[named].tolist() for table in (first_a, first_b))
    counts.flipped_rows += zip(*rows, strict=True)
    classes = _numbers(first_a, "target")
    counts.flips_by_class.update(classes[flipped].tolist())
    counts.images_by_class.update(classes[same].tolist())
    counts.unpredicted_by_class.update(classes[same & ~predicted].tolist())
    drawn = _flags(first_a, "drawn") & _flags(first_b, "drawn")
    counts.without_mask += int((same & ~flipped & ~drawn).sum())

    stay = same & ~flipped & drawn
    equal_target = classes == _numbers(first_b, "target")
    counts.other_target += int((stay & ~equal_target).sum())
    counts.paired += int((stay & equal_target).sum())
    if on_flipped is not None and (at := np.flatnonzero(flipped & drawn & equal_target)).size:
        for block in _blocks(_rows(whole_a, at_a[at]), _rows(whole_b, at_b[at]), Counts(), metrics):
            on_flipped(block)
    if single:
        kept = np.flatnonzero(stay & equal_target)
        yield from _blocks(_rows(whole_a, at_a[kept]), _rows(whole_b, at_b[kept]), counts, metrics)
        return
    # Of several classes of an image, only those that both jobs explained.
    keys = first_a.column("key").filter(pa.array(stay)).combine_chunks()
    several = [
        table.filter(pc.and_(pc.is_in(table.column("key"), keys), table.column("grid").is_valid()))
        for table in (left, right)
    ]
    at_a, at_b = _matches(*map(_key_and_target, several))
    yield from _blocks(several[0].take(at_a), several[1].take(at_b), counts, metrics)


def _first_ranks(table: pa.Table) -> pa.Table:
    """The rows of the first class of each image."""
    ranks = table.column("target_rank")
    # Most jobs explain one class, and their tables are not copied.
    return table.filter(pc.equal(ranks, 0)) if pc.max(ranks).as_py() else table


def _without_grid(table: pa.Table) -> pa.Table:
    """The columns that decide what becomes of an image; `drawn`: whether it has a mask."""
    columns = table.select(["key", "version", "row", "target", "prediction", "status"])
    return columns.append_column("drawn", table.column("grid").is_valid())


def _rows(table: pa.Table, at: NDArray[np.int64]) -> pa.Table:
    """The rows at these positions; a stretch of them is not copied."""
    if len(at) and at[-1] - at[0] == len(at) - 1 and (np.diff(at) == 1).all():
        return table.slice(int(at[0]), len(at))
    return table.take(at)


def _matches(a: pa.ChunkedArray, b: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions in a and in b of the texts that occur in both. Each has a text at most once."""
    found = pc.index_in(a, value_set=b.combine_chunks()).to_numpy(zero_copy_only=False)
    known = np.isfinite(found.astype(np.float64))
    return np.flatnonzero(known), found[known].astype(np.int64)


def _key_and_target(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(
        table.column("key"), table.column("target").cast(pa.string()), _SEPARATOR
    )


def _labels(table: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """A text for each label of each image, the same in both tables. A result that failed has no target: it
    takes that of the other table's result of the same rank, unless its image has that one already."""
    own, ranks = _key_and_target(table), _key_and_rank(table)
    found = pc.index_in(ranks, value_set=_key_and_rank(other).combine_chunks())
    borrowed = _key_and_target(other).take(found)
    known = pc.is_in(borrowed, value_set=own.drop_null().combine_chunks())
    return pc.coalesce(own, pc.if_else(known, None, borrowed), ranks)


def _key_and_rank(table: pa.Table) -> pa.ChunkedArray:
    rank = pc.binary_join_element_wise("rank", table.column("target_rank").cast(pa.string()), " ")
    return pc.binary_join_element_wise(table.column("key"), rank, _SEPARATOR)


def _predictions(table: pa.Table, sigmoid: bool) -> NDArray[np.int64]:
    """The predictions, null as `_UNKNOWN`. sigmoid: of a label that is found or not; `_NOT_FOUND` where another class,
    or none, is predicted."""
    found = _numbers(table, "prediction")
    if sigmoid:
        usable = pc.invert(pc.is_in(table.column("status"), pa.array(sorted(UNUSABLE), pa.string())))
        missed = found != _numbers(table, "target")
        found[missed & np.asarray(usable.to_numpy(), np.bool_)] = _NOT_FOUND
    return found


def _number_of_images(table: pa.Table, chosen: NDArray[np.bool_]) -> int:
    """The number of different keys among these rows."""
    return int(pc.count_distinct(table.column("key").filter(pa.array(chosen))).as_py())


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of integers, −1 for null."""
    column = pc.fill_null(table.column(name), -1)
    return column.to_numpy().astype(np.int64)


def _equal(a: pa.Table, b: pa.Table, name: str) -> NDArray[np.bool_]:
    same = pc.fill_null(pc.equal(a.column(name), b.column(name)), False)
    return np.asarray(same.to_numpy(), np.bool_)


def _flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(table.column(name).to_numpy(), np.bool_)


def _blocks(a: pa.Table, b: pa.Table, counts: Counts, metrics: Sequence[str]) -> Iterator[PairBlock]:
    start, ends = 0, np.append(np.flatnonzero(_starts_image(a.column("key").to_numpy()))[1:], len(a))
    while start < len(a):
        # The end of the last image that fits, or of the first one.
        last = np.searchsorted(ends, start + PAIRS_AT_ONCE, side="right") - 1
        end = int(ends[max(last, np.searchsorted(ends, start, side="right"))])
        yield _block(a.slice(start, end - start), b.slice(start, end - start), counts, metrics)
        start = end


def _starts_image(keys: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether a pair is the first of its image; the pairs of an image follow each other."""
    first = np.full(len(keys), True)
    first[1:] = keys[1:] != keys[:-1]
    return first


def _block(a: pa.Table, b: pa.Table, counts: Counts, metrics: Sequence[str]) -> PairBlock:
    statuses = [table.column("status").to_pylist() for table in (a, b)]
    counts.statuses.update(zip(*statuses, strict=True))
    cells_a, cells_b = _cells(a, b)
    return PairBlock(
        keys=a.column("key").to_numpy(),
        rows_a=_numbers(a, "row"),
        rows_b=_numbers(b, "row"),
        targets=_numbers(a, "target"),
        a=cells_a,
        b=cells_b,
        bit_equal=_equal(a, b, "grid") & _equal(a, b, "align_corners"),
        ok_a=np.array([status == "ok" for status in statuses[0]], np.bool_),
        ok_b=np.array([status == "ok" for status in statuses[1]], np.bool_),
        metrics={name: (_floats(a, name), _floats(b, name)) for name in metrics},
    )


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(table.column(name), np.nan).to_numpy(), np.float64)


def _cells(a: pa.Table, b: pa.Table) -> tuple[Cells, Cells]:
    """Both masks of each pair on the grid that covers what the two networks saw."""
    boxes = [np.stack([_floats(table, name) for name in BOX], axis=1) for table in (a, b)]
    apart = (boxes[0] != boxes[1]).any(1) & np.isfinite(boxes[0]).all(1) & np.isfinite(boxes[1]).all(1)
    drawn = _on_own_frame(a), _on_own_frame(b)
    rows = np.flatnonzero(apart)
    for row, (box_a, box_b, frame) in zip(rows, frames(boxes[0][rows], boxes[1][rows]), strict=True):
        for cells, table, box in ((drawn[0], a, box_a), (drawn[1], b, box_b)):
            cells[row] = to_cells(*_stack(table.slice(row, 1)), box, frame)[0]
    return drawn


def _on_own_frame(table: pa.Table) -> Cells:
    """Every mask over the part that its own network saw, grouped by the way in which grids are drawn."""
    kinds = np.stack([_numbers(table, name) for name in DRAWING], axis=1)
    if len(kinds) and (kinds == kinds[0]).all():
        return to_cells(*_stack(table))
    different, which = np.unique(kinds, axis=0, return_inverse=True)
    cells = np.empty((len(table), CELLS, CELLS), np.float32)
    for kind in range(len(different)):
        at = np.flatnonzero(which.reshape(-1) == kind)
        cells[at] = to_cells(*_stack(table.take(at)))
    return cells


def _stack(table: pa.Table) -> tuple[NDArray[np.float32], Drawing]:
    """The grids (N, h, w) of rows that are drawn in the same way."""
    h, w, height, width, aligned_corners = (int(_numbers(table, name)[0]) for name in DRAWING)
    grids = np.frombuffer(_joined(table.column("grid")), "<f4").reshape(-1, h, w)
    return grids, Drawing((h, w), (height, width), bool(aligned_corners))


def _joined(column: pa.ChunkedArray) -> bytes | memoryview:
    """The bytes of all rows, one after the other; none is null."""
    pieces = []
    for chunk in column.chunks:
        if len(chunk):
            _, offsets, data = chunk.buffers()
            bounds = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            pieces.append(memoryview(data)[bounds[0] : bounds[-1]])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
