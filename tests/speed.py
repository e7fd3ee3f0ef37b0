"""Measures how slow this machine is now, so that leases and limits of tests with real processes scale with it."""

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
    """The slow-down of this machine relative to the reference machine, at least 1.

    Measured once per process, in wall-clock time and with two processes, so that a CPU quota and other programs are
    included.
    """
    command = [sys.executable, "-S", "-E", "-c", _ROUNDS]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)
    ]
    rounds = [int(process.communicate()[0]) for process in both]
    return max(1.0, REFERENCE_ROUNDS / (sum(rounds) / len(rounds)))
