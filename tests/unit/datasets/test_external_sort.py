"""Sorting lists of names that are too long for memory."""

import random

from gfi.datasets.external_sort import sorted_names


def test_a_huge_directory_is_sorted_through_files():
    names = [f"{random.Random(n).random()} é\n{n}" for n in range(1000)]
    assert list(sorted_names(names, run=64)) == sorted(names)
    assert list(sorted_names(names, run=1000)) == sorted(names)
    assert list(sorted_names([], run=64)) == []
