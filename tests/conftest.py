"""Fixtures that several rooms' tests share; the servers start when a test first asks for one."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gfi.cli.servers import Server, free_port, start_s3, start_valkey
from gfi.store.database import Database
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, Postgres, Sqlite

# Before anything imports torch, here and in all that the tests start: on a busy machine its threads wait for each
# other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI=true a skipped test is a failure: what CI does not run, nobody runs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for report in skipped:
            reporter.write_line(f"skipped under CI=true, which is a failure: {report.nodeid}", red=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; `postgres.create()` gives the URL of a fresh, migrated database."""
    # Not below pytest's own directory: as root, PostgreSQL runs as another user, and any other pytest that
    # starts meanwhile takes that user's way in away again.
    server = Postgres(Path(tempfile.mkdtemp(prefix="gfi-postgres-")))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    """The same for SQLite files."""
    return Sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated database: each test runs on SQLite and on PostgreSQL."""
    servers = request.getfixturevalue("postgres" if request.param == "postgres" else "sqlite_files")
    url = servers.create()
    yield url
    servers.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    db = Database(database_url)
    yield db
    db.dispose()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Redis-protocol server: `valkey.url`."""
    server = start_valkey(tmp_path_factory.mktemp("valkey"), free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server: `s3.url`, with `tests.servers.S3_ACCESS_KEY` and `S3_SECRET_KEY`."""
    server = start_s3(tmp_path_factory.mktemp("s3"), free_port(), S3_ACCESS_KEY, S3_SECRET_KEY)
    yield server
    server.kill()  # it takes two seconds to say goodbye
