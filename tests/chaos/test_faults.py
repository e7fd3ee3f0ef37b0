"""Each fault of a server once, in a short version of `make chaos`."""

import pytest

from tests.chaos.server_scenarios import bucket_faults, database_faults, messages_repeated, redis_faults
from tests.chaos.world import World
from tests.speed import slowness

pytestmark = pytest.mark.timeout(180 * slowness())
SEED = 7


def test_a_redis_that_dies_forgets_freezes_or_fills_up_costs_a_delay(world: World) -> None:
    redis_faults(world, SEED, False)


def test_a_database_that_crashes_is_cut_off_or_locked_costs_a_delay(world: World) -> None:
    database_faults(world, SEED, False)


def test_a_bucket_that_fails_resets_or_damages_costs_a_delay(world: World) -> None:
    bucket_faults(world, SEED, False)


def test_messages_delivered_three_times_and_again_change_nothing(world: World) -> None:
    messages_repeated(world, SEED, False)
