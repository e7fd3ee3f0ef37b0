"""`make test-slow`: the suite with a quarter of this machine's CPU, as on a slow machine.

The kernel enforces the quota (cgroup v1 or v2), also for all processes that the suite starts. It needs root, like every
change of a control group.
"""

import os
import sys
import time
from pathlib import Path

SHARE = 0.25
LIMIT = "--timeout=1500"
"""Of one test: five times the default."""
PERIOD_US = 100_000
ROOT = Path("/sys/fs/cgroup")


def limited_group() -> Path:
    """A new control group whose processes have SHARE of the CPUs together."""
    quota = int((os.cpu_count() or 1) * SHARE * PERIOD_US)
    v2 = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if v2 else ROOT / "cpu") / f"gfi-slow-{os.getpid()}"
    group.mkdir()
    if v2:
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    return group


def accounted_group() -> Path | None:
    """If the kernel counts CPU seconds in a separate controller (cgroup v1): a new group of that controller."""
    if not (ROOT / "cpuacct" / "cpuacct.usage").exists():
        return None
    group = ROOT / "cpuacct" / f"gfi-slow-{os.getpid()}"
    group.mkdir(exist_ok=True)
    return group


def cpu_seconds(group: Path, accounted: Path | None) -> float:
    """CPU seconds of everything that ran in the group."""
    if accounted is not None:
        return int((accounted / "cpuacct.usage").read_text()) / 1e9
    lines = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(lines["usage_usec"]) / 1e6


def main() -> int:
    """Run pytest in the group with the arguments of this program."""
    try:
        group = limited_group()
        accounted = accounted_group()
    except OSError as error:
        print(
            f"make test-slow cannot limit the CPU here: {error}. It needs root and a writable /sys/fs/cgroup."
        )
        return 2
    start = time.time()
    child = os.fork()
    if child == 0:
        for joined in filter(None, (group, accounted)):
            (joined / "cgroup.procs").write_text(str(os.getpid()))
        pytest = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", LIMIT, *sys.argv[1:]]
        os.execv(sys.executable, pytest)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    took = f"took {time.time() - start:.0f} s with {SHARE:.0%} of {os.cpu_count()} CPUs"
    print(f"{took}, {cpu_seconds(group, accounted):.0f} CPU seconds")
    if left := (group / "cgroup.procs").read_text().split():
        print(f"left running: processes {', '.join(left)}")
        return status or 1
    for joined in filter(None, (group, accounted)):
        joined.rmdir()
    return status


if __name__ == "__main__":
    sys.exit(main())
