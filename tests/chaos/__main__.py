"""`make chaos`: the scenarios at full length, and the figures to publish.

    make chaos                        all of them
    make chaos SCENARIO=4 SEED=11     one, repeated exactly as far as the machine allows
    make soak MINUTES=30              scenario 10 for this long

Every row goes to benchmarks/results/chaos.json (a scenario's newest row replaces its older one), and
docs/reliability.md is rewritten from that file.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.chaos import hosts, reliability, soak
from tests.chaos.deployment import here
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.servers import Servers
from tests.chaos.world import Row, World

RESULTS = here() / "benchmarks" / "results" / "chaos.json"
IMAGES = 5000


def main() -> int:
    """Run the scenarios that the arguments name; returns 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", type=int, choices=range(1, 19), help="default: all but the soak")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1000))
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    parser.add_argument("--short", action="store_true", help="as in `make test`; nothing is recorded")
    given = parser.parse_args()
    chosen = [given.scenario] if given.scenario else [*sorted(SCENARIOS), 8]
    directory = Path(tempfile.mkdtemp(prefix="gfi-chaos-"))
    print(f"seed {given.seed}; logs in {directory}", flush=True)
    servers = Servers(directory)
    world = World(servers, 400 if given.short else IMAGES)
    failed = []
    try:
        for number in chosen:
            began = time.monotonic()
            try:
                row = _run(world, number, given.seed, given.minutes, full=not given.short)
            except Exception:
                traceback.print_exc()
                failed.append(number)
                continue
            said = row or f"scenario {number} skipped: {hosts.refused()}"
            print(f"{time.monotonic() - began:6.0f} s  {said}", flush=True)
            # A soak of two minutes only shows that the scenario runs, so its result is not published.
            brief = number == 10 and given.minutes < 30
            if row is not None and not given.short and not brief:
                _record(row)
    finally:
        servers.stop()
    if failed:
        print(f"FAILED: {failed}; logs in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _run(world: World, number: int, seed: int, minutes: float, *, full: bool) -> Row | None:
    if number == 10:
        return soak.soak(world, seed, minutes * 60)
    if number == 8:
        return None if hosts.refused() else hosts.two_hosts(world, seed, full)
    return SCENARIOS[number](world, seed, full)


def _record(row: Row) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    rows = [each for each in rows if each["scenario"] != row.scenario] + [row.to_json()]
    rows.sort(key=lambda each: each["scenario"])
    RESULTS.write_text("[\n" + ",\n".join("  " + json.dumps(each) for each in rows) + "\n]\n")
    reliability.write(rows)


if __name__ == "__main__":
    sys.exit(main())
