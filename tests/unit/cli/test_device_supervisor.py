"""One worker a device, without real workers: restarts, quarantine, draining, the health page."""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gfi.cli.device_supervisor import (
    DEATHS,
    EARLY_S,
    LONGEST_PAUSE_S,
    WITHIN_S,
    DeviceSupervisor,
    health_page,
    launcher,
    quarantined_rows,
)
from gfi.cli.devices import Device
from gfi.cli.errors import CommandError


class FakeProcess:
    """A process that runs until `code` is set."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class World:
    """Two devices whose workers die when a test says so, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.launched: list[tuple[str, float, FakeProcess]] = []
        self.supervisor = DeviceSupervisor([Device("cpu:0"), Device("cpu:1")], self._launch, lambda: self.now)

    def _launch(self, device: Device) -> Any:
        process = FakeProcess(len(self.launched) + 1)
        self.launched.append((device.name, self.now, process))
        return process

    def starts(self, name: str) -> list[float]:
        return [at for device, at, _ in self.launched if device == name]

    def kill(self, name: str) -> None:
        [process for device, _, process in self.launched if device == name][-1].code = -9

    def run_until(self, end: float) -> None:
        while self.now < end:
            self.now += 0.5
            self.supervisor.watch()


@pytest.fixture
def world() -> World:
    world = World()
    world.supervisor.watch()
    return world


def test_a_worker_that_ends_is_started_again_after_a_growing_pause(world: World) -> None:
    for _ in range(DEATHS - 1):
        world.kill("cpu:0")
        world.run_until(world.now + 20.0)
    pauses = [
        later - earlier
        for earlier, later in zip(world.starts("cpu:0"), world.starts("cpu:0")[1:], strict=False)
    ]
    assert len(pauses) == DEATHS - 1
    assert world.starts("cpu:1") == [0.0]
    died_at = [20.0 * death for death in range(DEATHS - 1)]
    waited = [start - died for start, died in zip(world.starts("cpu:0")[1:], died_at, strict=True)]
    assert waited == [1.5, 2.5, 4.5, 8.5]  # the death is seen half a second later


def test_five_deaths_in_ten_minutes_quarantine_the_device_and_not_its_neighbour(world: World) -> None:
    for _ in range(DEATHS):
        world.kill("cpu:0")
        world.run_until(world.now + LONGEST_PAUSE_S + 1.0)
    started = len(world.starts("cpu:0"))
    world.run_until(world.now + 3600.0)
    assert len(world.starts("cpu:0")) == started == DEATHS
    assert [state.shown()["state"] for state in world.supervisor.states] == ["quarantined", "running"]
    assert world.supervisor.working
    (row,) = quarantined_rows(world.supervisor, "host", "0.2.0")
    assert (row["id"], row["state"], row["queues"]) == ("host:cpu:0", "quarantined", [])
    assert (
        row["facts"]["reason"]
        == "its worker ended 5 times within 10 minutes, the last one was killed by signal 9"
    )


def test_rare_deaths_never_quarantine(world: World) -> None:
    for _ in range(3 * DEATHS):
        world.kill("cpu:0")
        world.run_until(world.now + WITHIN_S / (DEATHS - 1) + 1.0)
    assert [state.quarantined for state in world.supervisor.states] == [None, None]
    assert WITHIN_S / (DEATHS - 1) > EARLY_S  # a worker that ran that long is started again after a second
    assert world.starts("cpu:0")[-1] - world.starts("cpu:0")[-2] == pytest.approx(
        WITHIN_S / (DEATHS - 1) + 1.0, abs=1
    )


def test_signals_reach_every_worker(world: World) -> None:
    world.supervisor.end(signal.SIGTERM)
    assert [process.signals for _, _, process in world.launched] == [[signal.SIGTERM]] * 2
    assert not world.supervisor.ended()
    world.kill("cpu:0")
    world.kill("cpu:1")
    assert world.supervisor.ended()


def health(port: int) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_health_page_fails_once_every_device_is_quarantined(world: World) -> None:
    with health_page(world.supervisor, 0) as port:
        status, shown = health(port)
        assert (status, [device["state"] for device in shown["devices"]]) == (200, ["running", "running"])
        for state in world.supervisor.states:
            state.quarantined = "tested"
        assert health(port)[0] == 503
        with pytest.raises(CommandError, match="Address already in use"), health_page(world.supervisor, port):
            pass


def test_a_worker_has_its_variables_and_its_cores_and_not_the_supervisors_health_file(tmp_path: Path) -> None:
    core = sorted(os.sched_getaffinity(0))[-1]
    written = tmp_path / "environment"
    code = (
        "import os, pathlib; pathlib.Path(os.environ['TO']).write_text(str([os.environ['GFI_DEVICE'],"
        " 'GFI_ALIVE_FILE' in os.environ, os.sched_getaffinity(0)]))"
    )
    launch = launcher(
        [sys.executable, "-c", code], {**os.environ, "GFI_ALIVE_FILE": "/x", "TO": str(written)}
    )
    process = launch(Device("cuda:3", {"GFI_DEVICE": "cuda:0"}, (core,)))
    process.wait(60)
    assert written.read_text() == str(["cuda:0", False, {core}])


def test_a_real_process_that_is_killed_again_and_again_is_given_up_and_its_neighbour_is_not() -> None:
    launch = launcher([sys.executable, "-S", "-c", "import signal; signal.pause()"], os.environ)
    now = 0.0
    supervisor = DeviceSupervisor([Device("cpu:0"), Device("cpu:1")], launch, lambda: now)
    killed, neighbour = supervisor.states
    try:
        while killed.quarantined is None:
            supervisor.watch()
            if killed.process is not None:
                os.kill(killed.process.pid, signal.SIGKILL)
                killed.process.wait()
            now += LONGEST_PAUSE_S
        assert len(killed.deaths) == DEATHS
        assert neighbour.process is not None
        assert neighbour.process.poll() is None
        supervisor.end(signal.SIGTERM)
        neighbour.process.wait(60)
        assert supervisor.ended()
    finally:
        supervisor.end(signal.SIGKILL)
