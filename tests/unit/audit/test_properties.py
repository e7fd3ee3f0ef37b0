"""S5: numbers and words of the whole image."""

import numpy as np

from gfi.audit.properties import ClassMeans


def test_a_tint_and_a_camera_of_one_class_are_named_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 60)
    red = draw.normal(0, 1, 600) + 2.0 * (classes == 7)
    other = draw.normal(0, 1, 600)
    camera = np.where((classes == 2) & (draw.random(600) < 0.8), "A", draw.choice(["B", "C"], 600))
    means = ClassMeans(10)
    for start in range(0, 600, 100):
        p = slice(start, start + 100)
        means.add({"red": red[p], "other": other[p], "camera": camera[p]}, classes[p])
    found = means.screen()
    assert found is not None
    assert {(f.class_index, f.name) for f in found} >= {(7, "red"), (2, "camera = A")}
    assert not [f for f in found if f.class_index not in (2, 7)]


def test_missing_values_are_left_out() -> None:
    means = ClassMeans(8)
    classes = np.repeat(np.arange(8), 25)
    values = np.ones(200)
    values[::5] = np.nan
    means.add({"x": values}, classes)
    assert means.screen() == [] or means.screen() is None


def test_too_few_classes_are_undecided() -> None:
    means = ClassMeans(3)
    means.add({"x": np.arange(90.0)}, np.repeat(np.arange(3), 30))
    assert means.screen() is None
