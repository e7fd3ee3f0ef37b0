"""Scenario 8: a worker on another host, cut off and rejoined. Two network namespaces with a cable between them.

The second worker runs in a separate namespace and reaches Redis, PostgreSQL and S3 over a virtual cable; the cable
is pulled while it explains and plugged in again after its lease has run out. Needs root and `ip`; if namespaces are not
allowed, `refused` says why, and in CI this test is not collected.
"""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import psutil

from gfi.store import queries
from tests.chaos.deployment import LEASE_S, Deployment
from tests.chaos.proxy import TcpProxy
from tests.chaos.verify import verify
from tests.chaos.world import Row, World, row

OURS, THEIRS = "10.213.77.1", "10.213.77.2"


def refused() -> str | None:
    """Why this machine cannot have a second host; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip` command here"
    name = f"gfi-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return None


@contextlib.contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """A namespace that is connected to the test's; (its name, the name of the test's end of the cable)."""
    name, end = f"gfi-{os.getpid()}", f"gfi{os.getpid()}"[:14]
    _forget_the_dead()
    _ip("netns", "add", name)
    try:
        _ip("link", "add", end, "type", "veth", "peer", "name", "gfi0", "netns", name)
        _ip("addr", "add", f"{OURS}/30", "dev", end)
        _ip("link", "set", end, "up")
        _ip("-n", name, "addr", "add", f"{THEIRS}/30", "dev", "gfi0")
        for device in ("gfi0", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        yield name, end
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", end], check=False, capture_output=True)


def _forget_the_dead() -> None:
    """Remove the hosts of tests that were killed; a cable is deleted with its far end."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for name, pid in re.findall(r"^(gfi-(\d+))\b", listed, re.MULTILINE):
        if not psutil.pid_exists(int(pid)):
            subprocess.run(["ip", "netns", "del", name], check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def two_hosts(world: World, seed: int, full: bool) -> Row:
    """8. Two workers on two hosts, one cut off and rejoined."""
    photographs = world.photographs(1000 if full else 200)
    servers = world.servers
    with Deployment(servers, "postgres") as deployment, cable() as (namespace, end):
        relays = [
            TcpProxy(port, lambda target=target: target, host=OURS)
            for port, target in (
                (servers.redis.port, servers.redis.port),
                (servers.s3.port, servers.s3.port),
                (servers.postgres_proxy.port, str(servers.postgres.socket)),
            )
        ]
        try:
            deployment.start_all(1, pace={"step_s": 0.1})
            there = {
                "GFI_REDIS_URL": deployment.redis_url.replace("127.0.0.1", OURS),
                "GFI_S3_ENDPOINT": f"http://{OURS}:{servers.s3.port}",
                "GFI_DATABASE_URL": servers.postgres.through(
                    servers.postgres_proxy.port, deployment.database_url
                ).replace("127.0.0.1", OURS),
            }
            (far,) = deployment.start("worker", namespace=namespace, environment=there, pace={"step_s": 0.1})
            job = deployment.submit(photographs)
            recoveries = []
            for _ in range(3 if full else 1):
                deployment.eventually(lambda: deployment.leased(far.name), 60, "the far worker has a shard")
                _ip("link", "set", end, "down")
                began = time.monotonic()
                deployment.eventually(lambda: not deployment.leased(far.name), 30, "its lease runs out")
                recoveries.append(time.monotonic() - began)
                time.sleep(LEASE_S)
                _ip("link", "set", end, "up")
                if queries.get_job(deployment.database, job).ended:
                    break
            deployment.wait(job, 300)
            verdict = verify(deployment, job, photographs, world.undisturbed)
            return row(8, seed, [verdict], len(recoveries), recoveries)
        finally:
            for relay in relays:
                relay.stop()
