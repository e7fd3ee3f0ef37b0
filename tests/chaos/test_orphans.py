"""If the test process is killed, it leaves no servers and workers running."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gfi.cli.children import popen
from tests.chaos.deployment import here
from tests.speed import slowness

HARNESS = """
import sys, time
from pathlib import Path
from tests.chaos.deployment import Deployment
from tests.chaos.servers import Servers

servers = Servers(Path(sys.argv[1]))
with Deployment(servers, "postgres") as deployment:
    deployment.start_all(1)
    servers.redis.kill()
    servers.redis.restart()
    print(servers.postgres.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.timeout(90)
def test_a_harness_that_is_killed_takes_servers_and_workers_with_it(tmp_path: Path) -> None:
    with (tmp_path / "harness.log").open("wb") as log:
        harness = popen(
            [sys.executable, "-c", HARNESS, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=here(),
        )
    assert harness.stdout is not None
    told = harness.stdout.readline()
    assert told, (tmp_path / "harness.log").read_text()
    postgres = psutil.Process(int(told))
    ours = psutil.Process(harness.pid).children(recursive=True)
    assert len(ours) >= 7, f"forker, Valkey, S3, PostgreSQL's cleanup and three of the deployment: {ours}"
    harness.kill()
    harness.wait()
    assert psutil.wait_procs([*ours, postgres], timeout=15 * slowness())[1] == []
