"""How slow this machine is just now, so that leases and limits of the tests that run real processes scale with it."""

import functools
import os
import subprocess
import sys

SAMPLE_S = 0.5
REFERENCE_ROUNDS = 1500
"""Of each of two processes, on the two cores of the machine on which the limits were chosen."""
_ROUNDS = f"""
import time
rounds, end = 0, time.perf_counter() + {SAMPLE_S}
while time.perf_counter() < end:
    sum(range(20_000))
    rounds += 1
print(rounds)
"""


@functools.cache
def slowness() -> float:
    """How many times as long as there, at least 1, work takes here.

    Measured once a process, by the clock on the wall and with two processes, so that a CPU quota and other programs
    count.
    """
    command = [sys.executable, "-S", "-E", "-c", _ROUNDS]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)
    ]
    rounds = [int(process.communicate()[0]) for process in both]
    return max(1.0, REFERENCE_ROUNDS / (sum(rounds) / len(rounds)))
