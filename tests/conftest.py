"""Fixtures that are shared by several folders of tests; a server starts when a test first uses it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from gfi.cli.servers import Server, free_port, start_s3, start_valkey
from gfi.store.database import Database
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY, Postgres, Sqlite

# Before anything imports torch, here and in all processes of the tests: on a busy machine several threads are slower
# than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


TOGETHER = ("service/cli", "browser")
"""Folders whose files share a service that takes half a minute to start: one process runs them all."""
LONGEST = (
    "service/cli",
    "service/api/test_openapi.py",
    "chaos/test_scenarios.py",
    "browser",
    "service/api/test_fuzz.py",
    "chaos/test_stopping.py",
    "chaos/test_faults.py",
    "unit/method/test_inversion.py",
    "unit/method/test_families.py",
    "service/test_wheel.py",
    "unit/method/test_released_parity.py",
)
"""The files and folders that take longest. They start first, so that at the end no process waits for one of them."""
HERE = Path(__file__).parent


def _unit(path: Path) -> Path:
    """What one process runs without interruption: the folder if it is one of TOGETHER, otherwise the file."""
    return next((HERE / folder for folder in TOGETHER if path.is_relative_to(HERE / folder)), path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""
    ranks = {HERE / name: rank for rank, name in enumerate(LONGEST)}
    assert all(path.exists() for path in ranks), "a file of LONGEST was moved"
    items.sort(key=lambda item: ranks.get(_unit(item.path), len(ranks)))


class ByService(LoadFileScheduling):
    """`--dist loadfile` that keeps the folders of TOGETHER whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = HERE.parent / super()._split_scope(nodeid)
        return str(_unit(file))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByService:
    """With `-n`."""
    return ByService(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI=true a skipped test is a failure, because a test that CI skips is never run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for report in skipped:
            reporter.write_line(f"skipped under CI=true, which is a failure: {report.nodeid}", red=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; `postgres.create()` gives the URL of a fresh, migrated database."""
    # Not below pytest's own directory: under root, PostgreSQL runs as another user, and any other pytest that starts
    # meanwhile removes that user's access.
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
    server.kill()  # its shutdown takes two seconds
