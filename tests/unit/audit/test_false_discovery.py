"""Benjamini–Hochberg against its definition."""

import numpy as np

from gfi.audit.false_discovery import q_values


def test_q_is_the_smallest_level_at_which_the_step_up_rule_rejects() -> None:
    p = np.random.default_rng(0).random(30) ** 3
    q = q_values(p)
    for level in (0.01, 0.05, 0.2, 0.5):
        ordered = np.sort(p)
        below = np.flatnonzero(ordered <= level * np.arange(1, 31) / 30)
        rejected = p <= ordered[below[-1]] if len(below) else np.zeros(30, bool)
        assert ((q <= level) == rejected).all()


def test_no_tests_give_no_q() -> None:
    assert q_values(np.array([])).shape == (0,)
