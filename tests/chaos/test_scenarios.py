"""Each scenario once, short: what `make chaos` does at length."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.scenarios import (
    Row,
    World,
    bucket_faults,
    clocks_and_sleepers,
    database_faults,
    messages_repeated,
    poison,
    redis_faults,
    schedulers_killed,
    workers_killed,
)

pytestmark = pytest.mark.timeout(180)
SEED = 7

Begun = dict[Callable[[World, int, bool], Row], Future[Row]]


@pytest.fixture(scope="module")
def begun(world: World) -> Iterator[Begun]:
    """The scenarios that leave the servers alone, two at a time: they mostly wait for leases to run out."""
    assert world.undisturbed
    with ThreadPoolExecutor(2) as pool:
        alone = (poison, workers_killed, clocks_and_sleepers, schedulers_killed)
        yield {scenario: pool.submit(scenario, world, SEED, False) for scenario in alone}


def test_only_the_images_that_kill_or_hang_are_convicted(begun: Begun) -> None:
    begun[poison].result()


def test_workers_killed_at_the_worst_moments_lose_no_image(begun: Begun) -> None:
    assert begun[workers_killed].result().kills >= 5


def test_wrong_clocks_are_named_and_sleepers_do_not_commit(begun: Begun) -> None:
    begun[clocks_and_sleepers].result()


def test_jobs_are_planned_and_finished_while_schedulers_and_planners_are_killed(begun: Begun) -> None:
    begun[schedulers_killed].result()


def test_a_redis_that_dies_forgets_freezes_or_fills_up_costs_a_delay(world: World) -> None:
    redis_faults(world, SEED, False)


def test_a_database_that_crashes_is_cut_off_or_locked_costs_a_delay(world: World) -> None:
    database_faults(world, SEED, False)


def test_a_bucket_that_fails_resets_or_damages_costs_a_delay(world: World) -> None:
    bucket_faults(world, SEED, False)


def test_messages_delivered_three_times_and_again_change_nothing(world: World) -> None:
    messages_repeated(world, SEED, False)
