"""One worker process for each device of a machine: started, watched, restarted, and drained at the end.

A worker that ends is started again after a pause that grows while it keeps ending early. A device whose worker has
ended DEATHS times within WITHIN_S seconds is quarantined: nothing is started on it until the supervisor is restarted,
and the ledger, `gfi doctor` and the page of the workers say so. No image is lost by any of this: a shard whose worker
died is leased to another one.

The first SIGTERM is passed on: each worker commits its finished images and releases the rest. The second one ends the
workers at once.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

import structlog

from gfi.cli.children import popen
from gfi.cli.devices import Device
from gfi.cli.errors import CommandError
from gfi.domain.pauses import doubled
from gfi.store.heartbeat import HEARTBEAT_S, touch
from gfi.store.settings import Settings

log = structlog.get_logger(__name__)

DEATHS = 5
WITHIN_S = 600.0
EARLY_S = 60.0
"""A worker that ends sooner than this after its start is restarted more and more slowly."""
LONGEST_PAUSE_S = 30.0
WATCH_S = 0.5
HOST = "127.0.0.1"


@dataclass
class DeviceState:
    """A device and the worker on it. Times are seconds of the supervisor's monotonic clock."""

    device: Device
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    early: int = 0  # how often in a row the worker ended early
    deaths: list[float] = field(default_factory=list)
    quarantined: str | None = None  # why

    def shown(self) -> dict[str, Any]:
        """As the health page shows it."""
        running = self.process is not None
        return {
            "device": self.device.name,
            "state": "quarantined" if self.quarantined else "running" if running else "waiting",
            "pid": self.process.pid if self.process else None,
            "deaths": len(self.deaths),
            "reason": self.quarantined,
        }


class DeviceSupervisor:
    """Keeps one worker on each device. clock: seconds, monotonic.

    launch: starts the worker of a device.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        launch: Callable[[Device], subprocess.Popen[bytes]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states = [DeviceState(device) for device in devices]
        self._launch = launch
        self._clock = clock

    def watch(self) -> None:
        """Start the workers that are due, and note those that have ended. Call about twice a second."""
        for state in self.states:
            self._watch_device(state, self._clock())

    def _watch_device(self, state: DeviceState, now: float) -> None:
        if state.process is not None and (code := state.process.poll()) is not None:
            state.process = None
            self._died(state, now, code)
        if state.process is None and state.quarantined is None and now >= state.restart_at:
            state.process, state.started_at = self._launch(state.device), now
            log.info("worker started", device=state.device.name, pid=state.process.pid)

    def _died(self, state: DeviceState, now: float, code: int) -> None:
        state.early = state.early + 1 if now - state.started_at < EARLY_S else 1
        state.restart_at = now + doubled(1.0, state.early - 1, LONGEST_PAUSE_S)
        state.deaths = [at for at in state.deaths if now - at < WITHIN_S] + [now]
        ended = f"ended with {code}" if code >= 0 else f"was killed by signal {-code}"
        if len(state.deaths) >= DEATHS:
            state.quarantined = (
                f"its worker ended {len(state.deaths)} times within {WITHIN_S / 60:.0f} minutes, "
                f"the last one {ended}"
            )
            log.error("device quarantined", device=state.device.name, reason=state.quarantined)
        else:
            log.warning(
                "worker ended", device=state.device.name, how=ended, again_in_s=state.restart_at - now
            )

    @property
    def working(self) -> bool:
        """Whether a device is left that is not quarantined."""
        return any(state.quarantined is None for state in self.states)

    def end(self, number: signal.Signals) -> None:
        """Send a signal to every worker."""
        for state in self.states:
            if state.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    state.process.send_signal(number)

    def ended(self) -> bool:
        """Whether no worker is left."""
        return all(state.process is None or state.process.poll() is not None for state in self.states)


def launcher(
    command: Sequence[str], environ: Mapping[str, str]
) -> Callable[[Device], subprocess.Popen[bytes]]:
    """A function that starts `command` on a device: its variables are set before Python starts, its cores at once."""

    def launch(device: Device) -> subprocess.Popen[bytes]:
        # The supervisor touches the file of the health check: one worker's would hide that the others are dead.
        own = {name: value for name, value in environ.items() if name != "GFI_ALIVE_FILE"}
        process = popen(command, env={**own, **device.environment}, start_new_session=True)
        if device.cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, device.cores)
        return process

    return launch


@contextlib.contextmanager
def health_page(supervisor: DeviceSupervisor, port: int) -> Iterator[int]:
    """Answers GET on 127.0.0.1:port with the devices as JSON; status 503 when all are quarantined. Yields the port.

    port: 0 for any free one. Raises CommandError if it is taken.
    """

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = {"working": supervisor.working, "devices": [state.shown() for state in supervisor.states]}
            body = json.dumps(shown).encode()
            self.send_response(200 if supervisor.working else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    try:
        server = ThreadingHTTPServer((HOST, port), Page)
    except OSError as error:
        raise CommandError(f"--health-port {port}: {error.strerror or error}") from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def quarantined_rows(supervisor: DeviceSupervisor, host: str, version: str) -> list[dict[str, Any]]:
    """The rows of table `workers` by which the ledger knows of quarantined devices."""
    return [
        {
            "id": f"{host}:{state.device.name}",
            "host": host,
            "device": state.device.name,
            "queues": [],
            "version": version,
            "state": "quarantined",
            "facts": {"reason": state.quarantined},
        }
        for state in supervisor.states
        if state.quarantined
    ]


def supervise(supervisor: DeviceSupervisor, settings: Settings, health_port: int) -> None:
    """Watch the devices until SIGTERM or SIGINT, then wait until every worker has committed what it finished."""
    signals = 0

    def asked(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    with health_page(supervisor, health_port) as port:
        log.info(
            "supervisor started", devices=[state.device.name for state in supervisor.states], health_port=port
        )
        report = threading.Thread(target=_report, args=(supervisor, settings), name="report", daemon=True)
        report.start()
        while not signals:
            supervisor.watch()
            if supervisor.working:
                touch(settings.alive_file)
            time.sleep(WATCH_S)
        log.info("draining: each worker commits its finished images; a second signal ends them at once")
        supervisor.end(signal.SIGTERM)
        while not supervisor.ended():
            touch(settings.alive_file)
            if signals > 1:
                supervisor.end(signal.SIGKILL)
            time.sleep(WATCH_S)
    log.info("supervisor stopped")


def _report(supervisor: DeviceSupervisor, settings: Settings) -> None:
    """Write the quarantined devices into the ledger, in a thread, so that a slow database delays no restart."""
    from gfi import __version__
    from gfi.store import ledger
    from gfi.store.database import Database
    from gfi.store.errors import StoreError

    database = Database(settings.require_database())
    while True:
        for row in quarantined_rows(supervisor, socket.gethostname(), __version__):
            try:
                ledger.heartbeat(database, row)
            except StoreError as error:
                log.warning("the ledger does not know of a quarantined device", reason=str(error))
        time.sleep(HEARTBEAT_S)
