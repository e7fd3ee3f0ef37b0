"""The number of deaths in a row that is significant."""

import random

import pytest

from gfi.store.ledger.death_rate import FEWEST_DEATHS, LONGEST_PAUSE_S, pause_s, stand_out


def needed(other_deaths: int, other_successes: int) -> int:
    return next(n for n in range(1, 10_000) if stand_out(n, other_deaths, other_successes))


def test_three_deaths_stand_out_where_nobody_else_dies_and_no_fewer_anywhere() -> None:
    assert needed(0, 100) == needed(0, 100_000) == FEWEST_DEATHS == 3


def test_without_any_other_attempt_more_are_asked_for() -> None:
    assert needed(0, 0) == 8


def test_the_more_others_die_the_more_deaths_are_asked_for() -> None:
    asked = [needed(deaths, 100) for deaths in (0, 1, 10, 100, 1000, 10_000)]
    assert asked == sorted(asked)
    assert asked[-1] > 1000


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.9])
def test_an_innocent_image_is_not_given_up_however_often_workers_are_killed(share: float) -> None:
    """5,000 images, eight at a time, each tried until it succeeds; every attempt has the same probability of a
    death."""
    chance = random.Random(1)
    waiting, alone = 5000, dict[int, int]()
    deaths = successes = 0
    while waiting or alone:
        while waiting and len(alone) < 8:
            waiting -= 1
            alone[waiting] = 0
        for image in list(alone):
            if chance.random() >= share:
                deaths, successes = deaths + alone.pop(image), successes + 1
                continue
            alone[image] += 1
            others = sum(died > 0 for other, died in alone.items() if other != image)
            assert not stand_out(alone[image], deaths + others, successes)


def test_pauses_grow_by_a_second_each_and_end_at_the_longest() -> None:
    assert [pause_s(deaths) for deaths in range(6)] == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]
    assert pause_s(10_000) == LONGEST_PAUSE_S
