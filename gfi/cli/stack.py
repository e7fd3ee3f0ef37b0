"""The embedded stack: Redis, S3, SQLite, scheduler and workers on this machine, for one user, without root.

    gfi up      start it and watch over it in the foreground; -d in the background
    gfi down    stop it

Everything lives in one directory, `${GFI_HOME:-./.gfi}`:

    stack.json      where the running stack listens, its keys and its supervisor (only while it runs; mode 600)
    identity.json   the keys and ports it will use again (mode 600)
    gfi.db          SQLite: jobs, shards, results
    s3/, valkey/    the two servers' data and logs
    logs/           one file a process

The supervisor starts each process in a session of its own, so that Ctrl-C reaches the supervisor alone. It stops
the workers first (they commit what is finished and release the rest), the servers last. A process that
ends by itself is started again, more slowly each time it ends early. A supervisor that is killed takes all of them with
it, as a machine that goes down would: the ledger is made for that, and nobody has to look for them.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from gfi.cli.children import PYTHON, popen
from gfi.cli.errors import CommandError
from gfi.cli.servers import HOST, Server, free_port, start_s3, start_valkey

if TYPE_CHECKING:
    from gfi.store.database import Database
    from gfi.store.settings import Settings

BUCKET = "gfi"
SAMPLE_MODEL = "efficientnet-lite0"
# A worker commits the prefix it has finished before it leaves; one optimiser step of a batch can take seconds.
GRACE_S = 30.0


def home_directory() -> Path:
    """`${GFI_HOME:-./.gfi}`, absolute."""
    return Path(os.environ.get("GFI_HOME") or ".gfi").expanduser().resolve()


def stack_file(home: Path) -> Path:
    return home / "stack.json"


def running_stack(home: Path) -> dict[str, Any] | None:
    """What stack.json says, if its supervisor is alive; None when nothing runs."""
    try:
        record = json.loads(stack_file(home).read_text())
    except (OSError, ValueError):
        return None
    return record if _same_process(record.get("supervisor", {})) is not None else None


@dataclass
class Child:
    """One supervised process of ours (the servers look after themselves)."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    restart_at: float = field(default=0.0)


class Stack:
    """Starts, watches and stops the embedded stack of one home directory."""

    def __init__(
        self, home: Path, *, workers: int = 1, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.home = home
        self._workers = workers
        self._say = say
        self._servers: list[Server] = []
        self._children: list[Child] = []
        self._stopping = False

    def start(self) -> None:
        """Start the servers, bring the database up to date, register the sample model, start our processes.

        Raises CommandError when a stack already runs here or the directory cannot be written.
        """
        try:
            (self.home / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(
                f"{self.home} cannot be written: {error.strerror}; set GFI_HOME elsewhere"
            ) from error
        if running_stack(self.home) is not None:
            raise CommandError(f"a stack already runs in {self.home}: gfi down stops it")
        self._end_orphans()
        identity = self._identity()
        self._say("starting Redis and S3")
        valkey = start_valkey(
            self.home / "valkey", identity["redis_port"], password=identity["redis_password"]
        )
        self._servers.append(valkey)
        s3 = start_s3(
            self.home / "s3", identity["s3_port"], identity["s3_access_key"], identity["s3_secret_key"]
        )
        self._servers.append(s3)
        self._write_stack(identity, valkey, s3)
        self._prepare()
        self._spawn("scheduler", ["scheduler"])
        self._spawn("control", ["worker", "--queues", "control"])
        self._spawn("api", ["api", "--port", str(identity["api_port"])])
        for number in range(1, self._workers + 1):
            self._spawn(f"worker-{number}" if self._workers > 1 else "worker", ["worker"])
        self._record_children()

    def watch(self) -> None:
        """Start again what has ended. Call about once a second."""
        if self._stopping:
            return
        for server in self._servers:
            if not server.alive():
                raise CommandError(f"{server.name} ended; its log is {server.log}")
        now = time.monotonic()
        changed = False
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            if not child.restart_at:
                early = now - child.started_at < 60
                child.failures = child.failures + 1 if early else 1
                child.restart_at = now + min(30.0, 2.0 ** (child.failures - 1))
                self._say(
                    f"{child.name} ended with {code}; its log is {self._log(child.name)}; starting it again"
                )
            elif now >= child.restart_at:
                child.process = self._popen(child.name, child.command)
                child.started_at, child.restart_at, changed = now, 0.0, True
        if changed:
            self._record_children()

    def stop(self) -> None:
        """Stop everything that was started, gently first. May be called more than once."""
        self._stopping = True
        # Workers first: what they have finished needs the scheduler for nothing but the servers for everything.
        for child in reversed(self._children):
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
        while self._servers:
            self._servers.pop().stop()
        for name in ("stack.json", "children.json"):
            with contextlib.suppress(OSError):
                (self.home / name).unlink(missing_ok=True)

    # -- parts of start ------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Keys are made once; ports are kept while they are free, so that links into the stack stay good."""
        path = self.home / "identity.json"
        try:
            identity: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            identity = {
                "s3_access_key": secrets.token_hex(10),
                "s3_secret_key": secrets.token_urlsafe(30),
                "redis_password": secrets.token_urlsafe(24),
            }
        for name in ("redis_port", "s3_port", "api_port"):
            if not _port_is_free(identity.get(name)):
                identity[name] = free_port()
        _write_private(path, identity)
        return identity

    def _write_stack(self, identity: dict[str, Any], valkey: Server, s3: Server) -> None:
        record = {
            "supervisor": _process_record(os.getpid()),
            "database_url": f"sqlite:///{self.home / 'gfi.db'}",
            "redis_url": valkey.url,
            "s3_endpoint": s3.url,
            "s3_bucket": BUCKET,
            "api_url": f"http://{HOST}:{identity['api_port']}",
            "s3_access_key": identity["s3_access_key"],
            "s3_secret_key": identity["s3_secret_key"],
            # A dead worker's shard is back within seconds on one machine; a cluster wants 90 s.
            "lease_s": 10,
        }
        _write_private(stack_file(self.home), record)

    def _prepare(self) -> None:
        from gfi.store.database import Database, upgrade
        from gfi.store.objects import Bucket
        from gfi.store.queries import find_model
        from gfi.store.settings import Settings

        settings = Settings.load(self._environment())
        Bucket.from_settings(settings).ensure()
        database = Database(settings.require_database())
        upgrade(database)
        known = find_model(database, SAMPLE_MODEL) is not None
        database.dispose()
        if not known:
            self._say(f"registering the sample classifier {SAMPLE_MODEL}")
            # In a process of its own: reading a network needs torch, and the supervisor stays small.
            added = subprocess.run(
                [*PYTHON, "-m", "gfi.cli.main", "models", "add", SAMPLE_MODEL],
                env=self._environment(), capture_output=True, text=True, check=False, start_new_session=True,
            )  # fmt: skip
            if added.returncode:
                raise CommandError(f"the sample classifier could not be registered: {added.stderr.strip()}")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "GFI_HOME": str(self.home)}

    def _spawn(self, name: str, arguments: list[str]) -> None:
        command = [*PYTHON, "-m", "gfi.cli.main", *arguments]
        self._say(f"starting {name}")
        self._children.append(Child(name, command, self._popen(name, command), time.monotonic()))

    def _popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as output:
            return popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _record_children(self) -> None:
        records = [{"name": child.name} | _process_record(child.process.pid) for child in self._children]
        (self.home / "children.json").write_text(json.dumps(records))

    def _end_orphans(self) -> None:
        """End what a supervisor that was killed left behind."""
        try:
            records = json.loads((self.home / "children.json").read_text())
        except (OSError, ValueError):
            return
        orphans = [process for record in records if (process := _same_process(record))]
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        for process in psutil.wait_procs(orphans, timeout=GRACE_S)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end a `with` block as Ctrl-C does, so that its `finally` stops what was started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not leave half of the processes behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_foreground(stack: Stack, ready: Callable[[], None]) -> None:
    """Start the stack, call `ready`, watch over it until Ctrl-C or SIGTERM, stop everything."""
    with signals_as_interrupt():
        try:
            stack.start()
            ready()
            while True:
                stack.watch()
                time.sleep(0.5)
        except KeyboardInterrupt:
            pass
        finally:
            with uninterrupted():
                stack.stop()


def _room(home: Path) -> str:
    return f"{home} has {shutil.disk_usage(home).free >> 20} MiB free"


def run_background(home: Path, workers: int, timeout: float = 120.0) -> None:
    """Start `gfi up` detached from this terminal; returns when it is ready. Raises CommandError with its last words."""
    if running_stack(home) is not None:
        raise CommandError(f"a stack already runs in {home}: gfi down stops it")
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{home} cannot be written: {error.strerror}; set GFI_HOME elsewhere") from error
    log = home / "logs" / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*PYTHON, "-m", "gfi.cli.main", "up", "--workers", str(workers)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "GFI_HOME": str(home)}, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + timeout
    while not (home / "children.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip()
            raise CommandError(f"the stack did not start:\n{said or f'its log is empty too; {_room(home)}'}")
        time.sleep(0.1)


def stop_running(home: Path, timeout: float = GRACE_S + 30) -> bool:
    """SIGTERM the supervisor and wait for it. False when nothing ran."""
    record = running_stack(home)
    if record is None:
        return False
    supervisor = _same_process(record["supervisor"])
    if supervisor is not None:
        supervisor.terminate()
        try:
            supervisor.wait(timeout)
        except psutil.TimeoutExpired as error:
            raise CommandError(
                f"the supervisor {supervisor.pid} did not end within {timeout:.0f} s"
            ) from error
    return True


def _process_record(pid: int) -> dict[str, Any]:
    with contextlib.suppress(psutil.Error):
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    return {"pid": pid, "started": 0.0}


def _same_process(record: dict[str, Any]) -> psutil.Process | None:
    """The live process of a record; its start time tells it from one that was given its number."""
    try:
        process = psutil.Process(record["pid"])
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return process if alive and abs(process.create_time() - record["started"]) < 1.0 else None
    except (KeyError, TypeError, psutil.Error):
        return None


def _port_is_free(port: object) -> bool:
    import socket

    if not isinstance(port, int):
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _write_private(path: Path, record: dict[str, Any]) -> None:
    """Write JSON that only this user can read, all of it or nothing."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(record, file, indent=1)
    fresh.replace(path)


def open_stack() -> "tuple[Settings, Database]":
    """Settings and database of whatever runs here. CommandError when nothing does."""
    from gfi.store.database import Database, check
    from gfi.store.settings import Settings

    if "GFI_DATABASE_URL" not in os.environ and running_stack(home_directory()) is None:
        raise CommandError("nothing is running: gfi up -d")
    settings = Settings.load().require_stack()
    database = Database(settings.require_database())
    check(database)
    return settings, database
