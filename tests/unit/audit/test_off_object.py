"""S2 against its equations."""

import numpy as np
import pytest

from gfi.audit.off_object import OffObject


def world(per_class: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    classes = np.tile(np.arange(9), per_class)
    grids = 0.01 + 0.01 * draw.random((len(classes), 14, 14)).astype(np.float32)
    grids[:, 5:9, 5:9] += 1
    grids[classes == 4, 5:9, 5:9] -= 0.9
    grids[classes == 4, 0:2, 12:14] += 2
    boxes = np.tile([5 / 14, 5 / 14, 9 / 14, 9 / 14], (len(classes), 1))
    return grids, classes, boxes


def test_the_class_whose_masks_leave_the_box_stands_out_at_the_cell_where_they_go() -> None:
    grids, classes, boxes = world()
    s2 = OffObject(9)
    for start in range(0, len(classes), 50):
        part = slice(start, start + 50)
        s2.add(grids[part], classes[part], boxes[part], np.arange(len(classes[part])))
    z = s2.z()
    assert z is not None
    assert int(z.argmax()) == 4
    row, column = np.unravel_index(int(s2.outside()[4].argmax()), (14, 14))
    assert row < 2
    assert column >= 12


def test_the_excess_is_the_energy_less_that_of_the_mean_mask() -> None:
    grids, classes, boxes = world()
    s2 = OffObject(9)
    s2.add(grids, classes, boxes, np.arange(len(classes)))
    shares = grids / grids.sum((1, 2), keepdims=True)
    energy = shares[:, 5:9, 5:9].sum((1, 2))
    blind = shares.mean(0)[5:9, 5:9].sum()
    for k in range(9):
        assert s2.excess()[k] == pytest.approx(energy[classes == k].mean() - max(blind, 16 / 196), abs=1e-5)


def test_images_without_a_box_or_a_mask_are_left_out() -> None:
    s2 = OffObject(2)
    grids = np.ones((3, 14, 14), np.float32)
    grids[1] = 0
    s2.add(grids, np.array([0, 0, 1]), np.array([[0, 0, 1, 1], [0, 0, 1, 1]]), np.array([0, 1]))
    assert s2.images.tolist() == [1, 0]
