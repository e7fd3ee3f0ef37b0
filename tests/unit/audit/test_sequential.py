"""Evidence grows only for effects that are there, whenever one looks; and "nothing there" is a tested statement."""

import math

import numpy as np
import pytest

from gfi.audit.confirmation import Effects
from gfi.audit.sequential import (
    Evidence,
    SequentialSettings,
    Settled,
    Wealth,
    adjusted,
    beyond_controls,
    e_bh,
    next_images,
)

S = SequentialSettings()


def literal(x: list[float], below: float, bet: float) -> float:
    """The gambler, image by image."""
    wealth, most = 1.0, bet / (1 + below)
    known = [below]
    squares = [0.25 + below**2]
    for t, value in enumerate(x):
        mean = sum(known) / len(known)
        variance = max(sum(squares) / len(squares) - mean**2, 1e-4)
        gap = mean - below
        share = 0.5 * most if t == 0 else min(max(gap / (variance + gap**2), 0.0), most)
        wealth *= 1 + share * (value - below)
        known.append(value)
        squares.append(value**2)
    return wealth


@pytest.mark.parametrize("below", [0.1, -0.2])
def test_wealth_is_that_of_the_gambler_in_any_instalments(below: float) -> None:
    x = np.random.default_rng(0).uniform(-0.4, 1, 30)
    whole, parts = Wealth(2, below, 0.75), Wealth(2, below, 0.75)
    whole.add(1, x)
    for part in np.split(x, [1, 2, 17]):
        parts.add(1, part)
    parts.add(1, [])
    assert math.exp(whole.log[1]) == pytest.approx(literal(x.tolist(), below, 0.75))
    np.testing.assert_allclose(parts.log, whole.log)
    assert whole.log[0] == 0.0


def test_at_the_boundary_wealth_seldom_reaches_twenty_however_often_one_looks() -> None:
    draw = np.random.default_rng(1)
    streams = 200
    wealth = Wealth(streams, 0.1, 0.75)
    reached = np.zeros(streams, bool)
    for _ in range(12):  # a look after every five images
        for i in range(streams):
            wealth.add(i, (draw.random(5) < 0.1).astype(float))
        reached |= wealth.log >= math.log(20)
    assert reached.mean() <= 0.05


def test_a_mark_is_confirmed_nothing_is_nothing_and_only_open_classes_go_on() -> None:
    draw = np.random.default_rng(2)
    evidence = Evidence(np.array([3, 3, 5, 7]), S)
    assert evidence.open_classes().tolist() == [3, 5, 7]
    evidence.add(0, draw.normal(0.6, 0.1, 60), draw.normal(0.5, 0.1, 60))
    evidence.add(1, draw.normal(0.6, 0.1, 60), draw.normal(0, 0.05, 60))  # one effect alone is no finding
    evidence.add(2, draw.normal(0, 0.05, 60), draw.normal(0, 0.05, 60))
    assert evidence.settled() == (Settled.CONFIRMED, Settled.NOTHING, Settled.NOTHING, Settled.OPEN)
    assert evidence.open_classes().tolist() == [7]


def test_a_candidate_is_confirmed_by_its_share_of_the_level_which_never_changes() -> None:
    draw = np.random.default_rng(4)
    strong = draw.normal(0.6, 0.1, 30), draw.normal(0.5, 0.1, 30)
    whole = Evidence(np.array([0]), S)
    whole.add(0, *strong)
    e = float(whole.e_values[0])
    assert e > 21
    for share, state in ((21 / e, Settled.CONFIRMED), (19 / e, Settled.OPEN)):
        evidence = Evidence(np.array([0, 1]), S, np.array([share, 1 - share]))
        evidence.add(0, *strong)
        assert evidence.settled()[0] is state
    with pytest.raises(ValueError, match="a share of one unit"):
        Evidence(np.array([0, 1]), S, np.array([0.9, 0.2]))


def test_what_a_candidate_leaves_to_others_is_its_account_and_at_most_its_share() -> None:
    draw = np.random.default_rng(2)
    evidence = Evidence(np.arange(4), S, np.array([0.4, 0.3, 0.2, 0.1]))
    assert evidence.left_over() == 0.0  # all are open
    evidence.add(0, draw.normal(0, 0.05, 60), draw.normal(0, 0.05, 60))
    evidence.add(1, draw.normal(0.6, 0.1, 60), draw.normal(0.5, 0.1, 60))
    assert evidence.settled()[:2] == (Settled.NOTHING, Settled.CONFIRMED)
    assert 0 < evidence.e_values[0] < 1
    assert evidence.left_over() == pytest.approx(0.4 * evidence.e_values[0])  # of the one with nothing alone
    # One whose wealth grew before nothing was there leaves its share, and not what it won.
    evidence.add(2, [0.5] * 8 + [-0.6] * 400, [0.5] * 8 + [-0.6] * 400)
    evidence._effect[0].log[2] = evidence._effect[1].log[2] = np.log(3.0)
    assert evidence.settled()[2] is Settled.NOTHING
    assert evidence.left_over() == pytest.approx(0.4 * evidence.e_values[0] + 0.2)


def number_rejected(e: np.ndarray, shares: np.ndarray) -> float:
    """The literal rule: reject k where the k-th largest account is at least 1 / (k · level)."""
    accounts = sorted(e * shares, reverse=True)
    return max((k for k in range(1, len(e) + 1) if accounts[k - 1] >= 1 / (k * S.level)), default=0)


def test_e_bh_of_accounts_is_the_literal_rule_and_q_its_smallest_level() -> None:
    draw = np.random.default_rng(5)
    for _ in range(50):
        e, shares = np.exp(draw.normal(3, 3, 7)), draw.dirichlet(np.ones(7))
        rejected = e_bh(e * shares, S.level)
        assert rejected.sum() == number_rejected(e, shares)
        assert ((adjusted(e * shares) <= S.level) == rejected).all()


def test_measured_effects_are_bets_beyond_their_controls() -> None:
    controls = np.array([[0.1, np.nan], [0.2, 0.4]])
    none = np.zeros((0, 1))
    effects = Effects(np.zeros(2), np.array([0.9, 0.3]), controls, np.zeros(0), none, np.zeros(0, bool), none)
    removal, transplant = beyond_controls(effects)
    np.testing.assert_allclose(removal, [0.8, 0.0], atol=1e-12)
    assert transplant.shape == (0,)


def test_e_bh_rejects_the_largest_number_that_the_level_allows() -> None:
    assert e_bh(np.array([40.0, 25.0, 1.0, 0.0]) / 4, 0.05).tolist() == [False] * 4
    assert e_bh(np.array([41.0, 0.0, 40.0, 1.0]) / 4, 0.05).tolist() == [True, False, True, False]
    assert e_bh(np.zeros(0), 0.05).tolist() == []


def test_an_instalment_takes_the_next_images_of_the_wanted_classes_in_the_order_of_their_hash() -> None:
    classes = np.array([0, 1, 0, 1, 0, 2])
    order = np.array([5, 4, 3, 2, 1, 0])
    used = np.array([False, False, False, False, True, False])
    assert next_images(classes, order, used, [0, 1], 1).tolist() == [2, 3]
    assert next_images(classes, order, used, [0], 9).tolist() == [0, 2]
    assert next_images(classes, order, used, [], 9).tolist() == []


def test_what_is_no_effect_or_no_setting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers in \[−1, 1\]"):
        Wealth(1, 0.1, 0.75).add(0, [1.5])
    with pytest.raises(ValueError, match="below margin"):
        SequentialSettings(least_effect=0.3)
