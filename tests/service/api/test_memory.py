"""The memory of the API under the gallery and under progress streams, in a process of its own.

    make soak-api REQUESTS=40000

runs the same for longer and prints what was measured.
"""

import os
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from gfi.cli.servers import Server
from gfi.store import ledger
from tests.service.api.conftest import environment, make_world
from tests.service.api.test_fuzz import Process
from tests.speed import slowness

MiB = 2**20
REQUESTS = int(os.environ.get("GFI_SOAK_REQUESTS", "240"))
CACHE_MIB = 4
"""Of drawn pictures: full before the measurement begins."""
KEPT = 12 * MiB
"""Bytes by which the second half of the requests may raise the memory; each leaked picture would add 20 kB."""
STREAMS = 1000
OF_A_STREAM = 64 * 1024
"""Bytes of memory of one open stream, with its connection."""


@pytest.fixture(scope="module")
def live(
    sqlite_files: Any, s3: Server, valkey: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A live API, and a job whose images are the photographs several times."""
    variables = environment(
        sqlite_files.create(),
        s3,
        valkey,
        tmp_path_factory.mktemp("memory"),
        GFI_API_REQUESTS_PER_MINUTE="10000000",
        GFI_API_MAX_STREAMS=str(STREAMS),
        GFI_API_CACHE=str(CACHE_MIB * MiB),
    )
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(variables, patch)
        process = Process(world, variables)
        world.client = process.client
        yield process
        process.stop()
        world.database.dispose()


def _gallery(job: str, rng: random.Random) -> str:
    """One request as the gallery sends it; sizes differ, so that few pictures are in the cache."""
    row, size = rng.randrange(9), rng.randrange(64, 320)
    about = f"/v1/jobs/{job}"
    return rng.choice(
        [
            f"{about}/results/{row}/overlay.png?size={size}",
            f"{about}/results/{row}/photo.jpg?size={size}",
            f"{about}/results/{row}/mask.png?size={size}",
            f"{about}/results/{row}",
            f"{about}/results?limit=60&sort=insertion&descending={rng.choice(('true', 'false'))}",
            f"{about}/groups?by=site",
            f"{about}/summary",
        ]
    )


@pytest.mark.timeout(7200)
def test_requests_of_the_gallery_leave_no_memory_behind(live: Process) -> None:
    job = live.world.explained()
    rng = random.Random(7)

    def half() -> float:
        began = time.monotonic()
        paths = [_gallery(job, rng) for _ in range(REQUESTS // 2)]
        with ThreadPoolExecutor(4) as pool:
            for answer in pool.map(lambda path: live.send("GET", path, 200), paths):
                assert answer.content
        return time.monotonic() - began

    half()  # loads what is loaded at the first use, and fills the cache
    middle = live.memory
    seconds = half()
    grown = live.memory - middle
    print(
        f"{REQUESTS} requests: {middle / MiB:.0f} MiB in the middle, {grown / MiB:+.1f} MiB in the second half, "
        f"{REQUESTS / 2 / seconds:.0f} requests/s"
    )
    assert grown < KEPT


def test_a_thousand_streams_and_slow_clients_are_bounded_and_stop_nobody_else(live: Process) -> None:
    world, patience = live.world, 120.0 * slowness()
    job = world.planned(size=4)
    asked = (
        f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tokens['read']}\r\n"
    )
    address = (live.client.base_url.host, live.client.base_url.port or 80)
    before = live.memory
    with ExitStack() as opened:

        def send(text: str) -> socket.socket:
            connection = opened.enter_context(socket.create_connection(address, timeout=patience))
            connection.sendall(text.encode())
            return connection

        for _ in range(200):
            send(asked)  # and never the empty line at its end
        streams = [send(f"{asked}\r\n") for _ in range(STREAMS + 2)]
        answers = [stream.recv(12) for stream in streams]  # nothing more is read until the job ends
        assert (answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 429")) == (STREAMS, 2)
        held = live.memory - before
        waited = []
        for path in ("/livez", "/v1/jobs", f"/v1/jobs/{job}/shards", f"/v1/jobs/{job}/results"):
            began = time.monotonic()
            live.send("GET", path, 200)
            waited.append(time.monotonic() - began)
        ledger.cancel_job(world.database, job)
        told = [_last(stream) for stream in streams]
        assert sum(b"event: end" in text for text in told) == STREAMS
    print(f"{STREAMS} streams: {held / MiB:+.1f} MiB, slowest other request {1000 * max(waited):.0f} ms")
    assert held < STREAMS * OF_A_STREAM
    assert (
        live.send("GET", f"/v1/jobs/{job}/events", 200).text.count("event: end") == 1
    )  # their places are free


def _last(stream: socket.socket) -> bytes:
    """What was sent until the last event, or until the end of the connection."""
    text = b""
    while b"event: end" not in text and (piece := stream.recv(65536)):
        text += piece
        if b"application/problem+json" in text:
            break
    return text
