"""Each scenario without faults of servers once, in a short version of `make chaos`."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.comparison_scenario import comparisons_killed
from tests.chaos.process_scenarios import (
    clocks_and_sleepers,
    everything_slow,
    poison,
    schedulers_killed,
    tasks_killed,
    workers_killed,
)
from tests.chaos.schedule_scenarios import schedulers_killed_while_firing
from tests.chaos.world import Row, World
from tests.speed import slowness

pytestmark = pytest.mark.timeout(300 * slowness())
SEED = 7

Begun = dict[Callable[[World, int, bool], Row], Future[Row]]


@pytest.fixture(scope="module")
def begun(world: World) -> Iterator[Begun]:
    """The scenarios without faults of servers, two at a time: they mostly wait for leases to expire."""
    assert world.undisturbed
    with ThreadPoolExecutor(2) as pool:
        alone = (
            poison,
            workers_killed,
            clocks_and_sleepers,
            schedulers_killed,
            everything_slow,
            tasks_killed,
            schedulers_killed_while_firing,
            comparisons_killed,
        )
        yield {scenario: pool.submit(scenario, world, SEED, False) for scenario in alone}


def test_only_the_images_that_kill_or_hang_are_quarantined(begun: Begun) -> None:
    begun[poison].result()


def test_workers_killed_at_the_worst_moments_lose_no_image(begun: Begun) -> None:
    assert begun[workers_killed].result().kills >= 5


def test_wrong_clocks_are_named_and_sleepers_do_not_commit(begun: Begun) -> None:
    begun[clocks_and_sleepers].result()


def test_jobs_are_planned_and_finished_while_schedulers_and_planners_are_killed(begun: Begun) -> None:
    begun[schedulers_killed].result()


def test_where_everything_is_slow_and_nothing_is_down_dead_workers_shards_go_to_others(begun: Begun) -> None:
    begun[everything_slow].result()


def test_tasks_whose_workers_are_killed_all_end_and_write_each_piece_once(begun: Begun) -> None:
    begun[tasks_killed].result()


def test_a_schedule_fires_once_a_second_while_its_schedulers_are_killed(begun: Begun) -> None:
    assert begun[schedulers_killed_while_firing].result().kills


def test_a_comparison_whose_workers_are_killed_is_counted_once_and_judged_as_if_they_were_not(
    begun: Begun,
) -> None:
    assert begun[comparisons_killed].result().kills >= 5
