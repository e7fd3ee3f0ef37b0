"""The servers under test, with methods that kill, restart, freeze, empty or cut them off."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import redis
import sqlalchemy as sa

from gfi.cli.children import popen
from gfi.cli.servers import Server, free_port, start_s3, start_valkey
from tests.chaos.proxy import S3Proxy, TcpProxy
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, Postgres, Sqlite
from tests.speed import slowness


class CrashablePostgres(Postgres):
    """A PostgreSQL server that keeps committed data after `kill -9`. (No fsync: the machine itself does not crash.)"""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with self._admin.connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET synchronous_commit = on")
            connection.exec_driver_sql("ALTER SYSTEM SET max_connections = 200")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    @property
    def socket(self) -> Path:
        """The Unix socket it listens on."""
        return Path(str(self._url("postgres").query["host"])) / ".s.PGSQL.5432"

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return int(self._server.get_pid())

    def crash(self) -> None:
        """SIGKILL to the server and all its processes at once."""
        postmaster = psutil.Process(self.pid)
        doomed = [postmaster, *postmaster.children(recursive=True)]
        for process in doomed:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(doomed, timeout=10 * slowness())
        self._admin.dispose()

    def restart(self) -> None:
        """Start again over the same data; returns when it takes connections."""
        for _ in range(5):
            with contextlib.suppress(subprocess.SubprocessError):
                self._server.ensure_postgres_running()
                return
            time.sleep(0.5)
        raise AssertionError("PostgreSQL does not start again")

    def through(self, port: int, url: str) -> str:
        """The same database through a proxy on this machine."""
        name = sa.make_url(url).database
        return f"postgresql+psycopg://postgres:@127.0.0.1:{port}/{name}"

    def connections(self, url: str) -> int:
        """The number of clients that are connected to this database."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        with self._admin.connect() as connection:
            return int(connection.exec_driver_sql(query, (sa.make_url(url).database,)).scalar_one())


class Redis:
    """A Valkey that can be killed, restarted with or without its data, frozen and filled."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self._server = start_valkey(directory, self.port)
        self.client = redis.Redis(port=self.port)

    def url(self, number: int) -> str:
        """The URL of one of its sixteen databases."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def kill(self) -> None:
        """SIGKILL."""
        self._server.kill()

    def restart(self, *, keep: bool = True) -> None:
        """Start again; `keep` its append-only file or lose it."""
        if not keep:
            shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)
        self._server = start_valkey(self._directory, self.port)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP for the length of the block."""
        os.kill(self._server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._server.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No memory is left for writes during the block."""
        self.client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self.client.config_set("maxmemory", 0)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._server.kill()


class ProcessForker:
    """`tests.chaos.process_forker`, in a separate process."""

    def __init__(self, log: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GFI_")}
        with log.open("ab") as output:
            self._process = popen(
                [sys.executable, "-m", "tests.chaos.process_forker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                cwd=Path(__file__).parents[2],
                env={**clean, "PYTHONUNBUFFERED": "1"},
            )
        self._lock = threading.Lock()
        if self._answer() != "ready":
            raise AssertionError(f"the forker did not start: {log.read_text()}")

    def fork(
        self, role: str, environment: dict[str, str], config: dict[str, Any], log: Path
    ) -> psutil.Process:
        """Start a process."""
        order = {"role": role, "environment": environment, "config": config, "log": str(log)}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return psutil.Process(int(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Servers:
    """All of them, started once; every scenario has its own database, bucket and Redis database on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = contextlib.ExitStack()
        self.forker = ProcessForker(directory / "forker.log")
        self._stack.callback(self.forker.stop)
        self.redis = Redis(directory / "valkey")
        self._stack.callback(self.redis.stop)
        self.s3: Server = start_s3(directory / "s3", free_port(), S3_ACCESS_KEY, S3_SECRET_KEY)
        self._stack.callback(self.s3.kill)
        # Not below the test's directory: under root, PostgreSQL runs as another user, who needs access.
        self.postgres = CrashablePostgres(Path(tempfile.mkdtemp(prefix="gfi-chaos-")))
        self._stack.callback(self.postgres.stop)
        (directory / "sqlite").mkdir()
        self.sqlite = Sqlite(directory / "sqlite")
        self.s3_proxy = S3Proxy(free_port(), self.s3.port)
        self._stack.callback(self.s3_proxy.stop)
        self.postgres_proxy = TcpProxy(free_port(), lambda: str(self.postgres.socket))
        self._stack.callback(self.postgres_proxy.stop)

    def stop(self) -> None:
        """End everything."""
        self._stack.close()
