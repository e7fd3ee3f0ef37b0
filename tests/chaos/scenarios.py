"""The scenarios: the faults, their duration, and the check that no result was affected.

Each takes the world, a seed and a scale, causes faults, waits for its jobs and returns one `Row`. `verify` raises if an
image was lost, counted twice, or has another mask than in the undisturbed run. Scenario 8 is in `hosts`, 10 in `soak`.
"""

from collections.abc import Callable

from tests.chaos.comparison_scenario import comparisons_killed
from tests.chaos.night_scenario import night_of_a_schedule
from tests.chaos.process_scenarios import (
    clocks_and_sleepers,
    everything_slow,
    killed_all_the_time,
    planners_of_incremental_jobs,
    poison,
    schedulers_killed,
    tasks_killed,
    workers_killed,
)
from tests.chaos.schedule_scenarios import retention_beside_planners, schedulers_killed_while_firing
from tests.chaos.server_scenarios import bucket_faults, database_faults, messages_repeated, redis_faults
from tests.chaos.world import Row, World

SCENARIOS: dict[int, Callable[[World, int, bool], Row]] = {
    1: workers_killed,
    2: schedulers_killed,
    3: redis_faults,
    4: database_faults,
    5: bucket_faults,
    6: messages_repeated,
    7: clocks_and_sleepers,
    9: poison,
    11: killed_all_the_time,
    12: everything_slow,
    13: tasks_killed,
    14: planners_of_incremental_jobs,
    15: schedulers_killed_while_firing,
    16: retention_beside_planners,
    17: night_of_a_schedule,
    18: comparisons_killed,
}
