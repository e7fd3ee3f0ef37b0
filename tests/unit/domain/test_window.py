"""The window of a model file: what it may be, and what it may not."""

import pytest

from gfi.domain.window import Window


@pytest.mark.parametrize(
    ("value", "window"),
    [
        ([0, 4095], Window(0, 4095)),
        ([-1000.5, 400], Window(-1000.5, 400)),
        ("percentile 0.5 99.5", Window(0.5, 99.5, percentile=True)),
        ("percentile  0 100", Window(0, 100, percentile=True)),
    ],
)
def test_a_window_is_read_and_written(value, window):
    assert Window.parse(value) == window
    assert Window.parse(window.to_json()) == window
    assert Window.of_model({"preprocess": {"window": window.to_json()}}) == window
    assert Window.of_model({"preprocess": {}}) is None


@pytest.mark.parametrize(
    "value",
    [
        [4095, 0],
        [0, 0],
        [0],
        [0, 1, 2],
        ["a", 1],
        [0, float("inf")],
        [float("nan"), 1],
        5,
        None,
        True,
        {},
        "",
        "0 4095",
        "percentile",
        "percentile 99 1",
        "percentile -1 50",
        "percentile 1 101",
        "percentile a b",
        [0, 10**400],
    ],
)
def test_anything_else_is_refused_with_advice(value):
    with pytest.raises(ValueError, match=r'a window is \[low, high\].*"percentile 0\.5 99\.5"'):
        Window.parse(value)
