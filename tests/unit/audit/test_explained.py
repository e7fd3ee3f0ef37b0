"""Rows of images with several labels: which images have a class, and which rows are of one image."""

import numpy as np

from gfi.audit.explained import Explained

# Rows 0 and 1 are image 10, labelled 3 and 5; row 2 is image 11 of class 5; row 3 is image 12, labelled 4 and 3, of
# which only 4 has a mask that can be used.
DATA = Explained(
    np.array([3, 5, 5, 4]),
    np.zeros((4, 7, 7), np.float32),
    np.zeros(4, bool),
    images=np.array([10, 10, 11, 12]),
    also=np.array([[0, 3], [0, 5], [1, 3], [1, 5], [3, 4], [3, 3]]),
)


def test_an_image_carries_each_of_its_labels_also_one_without_a_row() -> None:
    assert DATA.carrying(3).tolist() == [True, True, False, True]
    assert DATA.carrying(5).tolist() == [True, True, True, False]
    assert DATA.carrying(9).tolist() == [False] * 4


def test_an_image_is_once_among_rows_the_first_in_their_order() -> None:
    assert DATA.once(np.array([3, 1, 2, 0])).tolist() == [3, 1, 2]
    assert DATA.of_other_images(np.arange(4), np.array([1])).tolist() == [2, 3]


def test_without_several_labels_each_row_is_an_image() -> None:
    alone = Explained(DATA.classes, DATA.grids, DATA.screening)
    assert alone.carrying(5).tolist() == [False, True, True, False]
    assert alone.once(np.array([2, 1, 0])).tolist() == [2, 1, 0]
    assert alone.of_other_images(np.arange(4), np.array([1])).tolist() == [0, 2, 3]
