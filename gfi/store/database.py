"""The database: PostgreSQL, or SQLite on one machine, through the same two context managers.

    db = Database(url)
    with db.begin() as connection: ...      # one transaction that writes
    with db.read() as connection: ...       # one transaction that only reads

On SQLite a writing transaction begins with BEGIN IMMEDIATE: with pysqlite's own transactions, 416 to 451
claims of 400 shards succeeded; with BEGIN IMMEDIATE exactly 400 did. In WAL mode readers are not blocked by
a writer, and a writer waits up to 30 s for another. On PostgreSQL concurrency is controlled by row locks
(`FOR UPDATE SKIP LOCKED`, `FOR SHARE`), which SQLAlchemy leaves out of statements for SQLite.

All times are those of the database's clock, so that the clocks of workers do not matter: `now()` in a statement is
epoch seconds in double precision, `clock_timestamp()` on PostgreSQL and `julianday('now')` on SQLite.

Errors of the driver are raised with a message of one line: as `Transient` when the connection failed or a lock was not
granted in time (repeat the whole call; every transaction of the ledger is idempotent), as `StoreError` otherwise.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from gfi.store.errors import StoreError, Transient, one_line

BUSY_TIMEOUT_S = 30.0
_READ = "gfi_read"
# PostgreSQL: serialization failure, deadlock, lock not available, three kinds of shutdown, read-only (during a
# failover), transaction ended because it was idle. Two classes: connection exceptions, insufficient resources.
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25006", "25P03")
_TRANSIENT_CLASSES = ("08", "53")


# A server that disappears without closing its connections (an unplugged cable, a network partition) is noticed after
# half a minute instead of two hours.
_NOTICE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# A process that is frozen inside a transaction keeps its locks, and the reaper would wait for them before it handles
# any other shard. So the server ends such a transaction; our transactions never wait for anything but the database.
_FROZEN_S = 10


class now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock in a statement: epoch seconds, double precision."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class Database:
    """One database and its pool of connections; cheap to make, connects on first use, thread-safe."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = _normalised(url)
        options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 20}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        else:
            options["pool_pre_ping"] = True
            options["connect_args"] = {"connect_timeout": 10, "application_name": "gfi", **_NOTICE}
            if "options" not in self.url.query:
                options["connect_args"]["options"] = f"-c idle_in_transaction_session_timeout={_FROZEN_S}s"
        try:
            self.engine = sa.create_engine(self.url, **options)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{safe_url(url)} needs a driver: {error}; pip install 'gfi[postgres]'"
            ) from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL; no other database is supported."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def safe_url(self) -> str:
        """The URL without its password, for messages and logs."""
        return safe_url(self.url)

    def __repr__(self) -> str:
        return f"Database({self.safe_url!r})"

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A connection in one writing transaction: committed at the end, rolled back on an exception."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self, *, snapshot: bool = False) -> Iterator[sa.Connection]:
        """A connection in one transaction that only reads; on SQLite it takes no write lock.

        snapshot: all statements see the database as the first one does. On SQLite they always do.
        """
        options: dict[str, Any] = {_READ: True}
        if snapshot and not self.is_sqlite:
            options["isolation_level"] = "REPEATABLE READ"
        with (
            self._translated(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin() as transaction,
        ):
            yield connection
            transaction.rollback()

    def now(self) -> float:
        """The database's clock, epoch seconds."""
        with self.read() as connection:
            return float(connection.execute(sa.select(now())).scalar_one())

    def dispose(self) -> None:
        """Close every pooled connection. A process must call this after a fork and before it ends."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the errors of the driver into messages of one line that name this database without its password."""
        try:
            yield
        except sa.exc.TimeoutError:
            raise Transient(f"{self.safe_url}: every connection of this process is in use") from None
        except DBAPIError as error:
            reason = one_line(error.orig or error)
            if _is_missing_table(reason):
                message = f"{self.safe_url} has no tables of this version; run: gfi db upgrade"
                raise StoreError(message) from None
            if _is_transient(error):
                raise Transient(f"{self.safe_url} is not answering: {reason}") from error
            raise StoreError(f"{self.safe_url}: {reason}") from error


def safe_url(url: str | sa.URL) -> str:
    """A database or Redis URL with its password (and any password in its query) replaced by ***."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        return "***"
    hidden = {k: "***" if "pass" in k.lower() else v for k, v in parsed.query.items()}
    return parsed.set(query=hidden).render_as_string(hide_password=True).replace("%2A", "*")


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """The INSERT of the dialect, which supports ON CONFLICT; both dialects have the same methods."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def insert_many(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], *, ignore: bool = False
) -> None:
    """Insert rows (all with the same columns, of texts and numbers). ignore: leave out those whose key exists already.

    On PostgreSQL the rows are one parameter: half of the processor time of a statement for each row.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statement = insert(connection, table)
        connection.execute(statement.on_conflict_do_nothing() if ignore else statement, list(rows))
        return
    # A number of numpy is written as the Python number that it equals.
    packed = json.dumps(rows, default=lambda number: number.item(), allow_nan=False)
    given = sa.cast(sa.literal(packed, sa.Text), sa.JSON)
    of_table: sa.ColumnElement[Any] = sa.literal_column(f"CAST(NULL AS {table.name})")
    names = list(rows[0])
    unpacked = sa.func.json_populate_recordset(of_table, given).table_valued(*names)
    inserted = insert(connection, table).from_select(names, sa.select(*unpacked.columns))
    connection.execute(inserted.on_conflict_do_nothing() if ignore else inserted)


def upsert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], keys: Sequence[str]
) -> None:
    """Insert rows (all with the same columns); a row whose `keys` exist already is overwritten."""
    if not rows:
        return
    statement = insert(connection, table)
    changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes), list(rows))


def upgrade(db: Database, revision: str = "head") -> str:
    """Upgrade the tables to `revision` (default: that of this version). Returns the revision reached.

    Several processes may run it at once: the second waits and finds nothing to do. Raises StoreError for a database
    of a newer version.
    """
    from alembic import command

    if db.is_sqlite and db.url.database:
        Path(db.url.database).parent.mkdir(parents=True, exist_ok=True)
    with db.begin() as connection:
        if not db.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(7_305_001)))
        _refuse_newer(db, _revision(connection))
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        reached = _revision(connection)
    assert reached is not None
    return reached


def current_revision(db: Database) -> str | None:
    """The revision of the tables; None for a database without tables."""
    with db.read() as connection:
        return _revision(connection)


def head_revision() -> str:
    """The revision that this version of the code needs: the number of the newest migration.

    Alembic is not used here: importing it takes a fifth of the time of `gfi jobs`.
    """
    return max(_revisions())


def _revisions() -> list[str]:
    """The revisions that this version of the code knows."""
    import migrations

    files = (Path(migrations.__file__).parent / "versions").glob("[0-9]*_*.py")
    return [file.name.partition("_")[0] for file in files]


def _refuse_newer(db: Database, current: str | None) -> None:
    """Raise StoreError where the tables were made by a version of gfi that is newer than this one."""
    if current is not None and current not in (known := _revisions()):
        raise StoreError(
            f"{db.safe_url} was upgraded by a newer gfi (it is at revision {current}, this version knows revisions up "
            f"to {max(known)}); install that version or a later one: pip install --upgrade gfi"
        )


def check(db: Database) -> None:
    """Raise StoreError with advice unless the tables have the revision of this version."""
    current, head = current_revision(db), head_revision()
    if current is None:
        raise StoreError(f"{db.safe_url} has no tables; run: gfi db upgrade")
    _refuse_newer(db, current)
    if current != head:
        raise StoreError(
            f"{db.safe_url} is at revision {current}, this version needs {head}; run: gfi db upgrade"
        )


def _alembic() -> Any:
    from alembic.config import Config

    import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _normalised(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise StoreError("the database URL cannot be read; use postgresql://… or sqlite:///path") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        backend = parsed.get_backend_name()
    except NoSuchModuleError:
        backend = parsed.drivername
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"database {backend!r} is not supported; use postgresql://… or sqlite:///path")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("SQLite needs a file, because several processes share it: sqlite:///path")
    return parsed


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing. After a power failure the last commits may be lost; the ledger then treats their
    # shards like those of a dead worker: they are done again.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _is_missing_table(reason: str) -> bool:
    return (
        "no such table" in reason
        or "no such column" in reason
        or (reason.startswith(("relation ", "column ")) and "does not exist" in reason)
    )


def _is_transient(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _TRANSIENT_STATES or state.startswith(_TRANSIENT_CLASSES)
    if not isinstance(error, OperationalError):
        return False
    # Without an SQLSTATE: PostgreSQL did not answer. SQLite has no such codes, only a text.
    reason = str(error.orig)
    if "psycopg" in type(error.orig).__module__:
        return "password" not in reason and "does not exist" not in reason
    return any(word in reason for word in ("locked", "busy", "disk is full"))
