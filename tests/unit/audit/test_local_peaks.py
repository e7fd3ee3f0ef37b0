"""Local peaks against their definition, and the false alarms of S1 where classes differ by nature."""

import numpy as np

from gfi.audit.local_peaks import PeakCounts, peaks


def literal(grid: np.ndarray, share: float) -> np.ndarray:
    h, w = grid.shape
    out = np.zeros((h, w), bool)
    for i in range(h):
        for j in range(w):
            around = grid[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            out[i, j] = grid[i, j] >= around.max() and grid[i, j] >= share * grid.max() and grid.max() > 0
    return out


def test_peaks_are_those_of_the_definition() -> None:
    grids = np.round(np.random.default_rng(0).random((20, 6, 7)) ** 3, 2).astype(np.float32)
    grids[0] = 0
    assert all((peaks(grids)[i] == literal(grids[i], np.float32(0.3))).all() for i in range(20))


def test_counts_of_two_readers_add() -> None:
    draw = np.random.default_rng(1)
    grids, classes = draw.random((60, 9, 9)).astype(np.float32), draw.integers(0, 4, 60)
    whole, left, right = (PeakCounts(4, 7) for _ in range(3))
    whole.add(grids, classes)
    left.add(grids[:25], classes[:25])
    right.add(grids[25:], classes[25:])
    left.merge(right)
    assert (left.counts == whole.counts).all()
    assert (left.images == np.bincount(classes, minlength=4)).all()


def blobs(draw: np.random.Generator, centres: np.ndarray, spread: float) -> np.ndarray:
    at = centres + draw.normal(0, spread, centres.shape)
    i, j = np.mgrid[:7, :7]
    return np.exp(-((i - at[:, 0, None, None]) ** 2 + (j - at[:, 1, None, None]) ** 2) / 2).astype(np.float32)


def test_a_mark_in_half_of_a_class_has_the_highest_z_where_classes_differ_by_half_a_cell() -> None:
    first = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        classes = np.repeat(np.arange(20), 50)
        grids = blobs(draw, (3 + draw.normal(0, 0.3, (20, 2)))[classes], 0.7)
        marked = (classes == 5) & (draw.random(1000) < 0.5)
        grids[marked] += 0.8 * blobs(draw, np.tile([0.0, 6.0], (int(marked.sum()), 1)), 0.1)
        counts = PeakCounts(20, 7)
        counts.add(grids, classes)
        z = counts.z()
        assert z is not None
        first += np.unravel_index(int(z.argmax()), z.shape) == (5, 0, 6)
    assert first == 20
