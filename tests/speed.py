"""How slow this machine is just now, so that leases and limits of the tests that run real processes scale with it."""

import functools
import time

SAMPLE_S = 0.5
# One core of the machine on which the limits were chosen.
REFERENCE_ROUNDS = 1500


@functools.cache
def slowness() -> float:
    """How many times as long as there, at least 1, a piece of work takes here; measured once a process, by the clock on
    the wall, so that a CPU quota and other programs count.
    """
    rounds, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < SAMPLE_S:
        sum(range(20_000))
        rounds += 1
    return max(1.0, REFERENCE_ROUNDS * took / SAMPLE_S / rounds)
