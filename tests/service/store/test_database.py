"""Both databases: clock, migrations, concurrency, errors in one line."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gfi.domain.records import WEBHOOK, NotifyTarget
from gfi.store import database as databases
from gfi.store import ledger, queries
from gfi.store.database import (
    Database,
    check,
    current_revision,
    head_revision,
    insert_many,
    safe_url,
    upgrade,
)
from gfi.store.errors import StoreError, Transient
from gfi.store.ledger.tokens import API, create_link, redeem_link
from gfi.store.tables import image_columns, metadata
from tests.servers import Postgres
from tests.service.store.ledger_actors import submit


def test_the_clock_is_the_databases_own_in_epoch_seconds(database: Database) -> None:
    before = time.time()
    first = database.now()
    assert before - 0.01 < first < time.time() + 0.01
    time.sleep(0.01)
    assert database.now() > first + 0.005


def test_migrations_make_exactly_the_tables_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        only_postgres = {"ix_results_pages"} if database.is_sqlite else set()
        options = {"compare_type": True, "include_object": lambda _, name, *__: name not in only_postgres}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_tables_are_at_this_versions_revision(database: Database) -> None:
    assert current_revision(database) == head_revision()
    check(database)
    assert upgrade(database) == head_revision()


def test_a_downgrade_leaves_nothing_behind(database: Database) -> None:
    downgrade(database, "base")
    with database.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    upgrade(database)


def test_webhooks_and_kinds_of_tokens_survive_a_downgrade_and_an_upgrade(database: Database) -> None:
    address = "https://hooks.example.org/x"
    job = submit(database, notify=(NotifyTarget(WEBHOOK, address),))
    quiet = submit(database)
    link = create_link(database, 600.0)
    _, made = ledger.create_token(database, "ci", ["read"], limits={"max_images": 5})
    downgrade(database, "0005")
    with database.read() as connection:
        asked = connection.execute(sa.text("SELECT job_id FROM audit WHERE action = 'job.webhook'")).all()
        assert [row.job_id for row in asked] == [job]
    upgrade(database)
    assert queries.address_on(database, job, WEBHOOK) == address
    assert queries.address_on(database, quiet, WEBHOOK) is None
    token = ledger.verify_token(database, made)
    assert token is not None
    assert (token.kind, token.limits) == (API, {"max_images": 5})
    session = redeem_link(database, link, 600.0)
    assert session is not None


def downgrade(database: Database, revision: str) -> None:
    """Take the tables back to a revision."""
    with database.begin() as connection:
        config = databases._alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_several_may_migrate_an_empty_database_at_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/new/gfi.db"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create(migrated=False)
    db = Database(url)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: upgrade(db), range(4))) == {head_revision()}
    submit(db)
    db.dispose()


def test_a_database_without_tables_says_what_to_run(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(StoreError, match="run: gfi db upgrade"):
        check(db)
    with pytest.raises(StoreError, match="run: gfi db upgrade"):
        submit(db)
    db.dispose()


def test_a_postgres_without_tables_says_what_to_run(postgres: Postgres) -> None:
    db = Database(postgres.create(migrated=False))
    with pytest.raises(StoreError, match="run: gfi db upgrade"):
        submit(db)
    db.dispose()


def test_a_database_of_a_newer_version_says_so(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (check, upgrade):
        with pytest.raises(StoreError, match="by a newer gfi"):
            use(database)


def test_an_exception_rolls_everything_back(database: Database) -> None:
    def fails_halfway() -> None:
        with database.begin() as connection:
            ledger.jobs.record(connection, "x", "y")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_halfway()
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM audit")).scalar_one() == 0


def test_a_writer_waits_for_another_and_readers_go_on(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/gfi.db")
    upgrade(db)
    other = sqlite3.connect(tmp_path / "gfi.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Event()

    def write() -> None:
        submit(db)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert db.now() > 0  # a reader does not wait
    assert not done.wait(0.5)
    other.execute("COMMIT")
    assert done.wait(10.0)
    writer.join()
    other.close()
    db.dispose()


def test_a_database_locked_for_long_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 0.1)
    db = Database(f"sqlite:///{tmp_path}/gfi.db")
    upgrade(db)
    other = sqlite3.connect(tmp_path / "gfi.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient, match="locked"):
        submit(db)
    other.close()
    db.dispose()


def test_a_full_disk_is_transient(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'gfi.db'}")
    upgrade(db)
    with db.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    sa.event.listen(db.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))
    db.dispose()
    with pytest.raises(Transient, match="disk is full"):
        ledger.audited(db, "someone", "something", None, {"long": "x" * 100_000})
    db.dispose()


def test_a_cut_connection_is_transient_and_the_next_call_works(postgres: Postgres) -> None:
    url = postgres.create()
    db = Database(url)

    def is_cut_off() -> None:
        with db.begin() as connection:
            pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with sa.create_engine(url, poolclass=sa.NullPool).connect() as killer:
                killer.execute(sa.text(f"SELECT pg_terminate_backend({pid})"))
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(Transient):
        is_cut_off()
    submit(db)
    db.dispose()
    postgres.drop(url)


def test_a_server_that_is_away_is_transient_without_its_password() -> None:
    db = Database("postgresql://gfi:hush@127.0.0.1:1/gfi")
    with pytest.raises(Transient) as caught:
        db.now()
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(db)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql://x", "not supported"),
        ("nonsense", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_advice(url: str, advice: str) -> None:
    with pytest.raises(StoreError, match=advice):
        Database(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hush@h/d?sslmode=require", "postgresql://u:***@h/d?sslmode=require"),
        ("postgresql://h/d?password=hush", "postgresql://h/d?password=***"),
        ("rediss://:hush@h:6379/0", "rediss://:***@h:6379/0"),
        ("::", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown


def test_a_frozen_transaction_does_not_keep_its_locks(database: Database) -> None:
    if database.is_sqlite:
        return  # one writer at a time, and none of them over a network
    with database.read() as connection:
        setting = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    assert setting == "10s"


def test_many_rows_are_inserted_as_they_are(database: Database) -> None:
    rows = [
        {"job_id": "j", "name": 'quote " \\ ü 🦊', "row": row, "text": None, "number": number}
        for row, number in enumerate(
            [0.1, 5e-324, 1.7976931348623157e308, -0.0, 2.0**-50, 1 / 3, np.float64(0.3), None]
        )
    ] + [{"job_id": "j", "name": "t", "row": 2**31 - 1, "text": "a\tb\nc", "number": np.float32(0.1)}]
    with database.begin() as connection:
        insert_many(connection, image_columns, rows)
        insert_many(connection, image_columns, [rows[0] | {"number": 9.0}], ignore=True)
        insert_many(connection, image_columns, [])
    with database.read() as connection:
        found = connection.execute(sa.select(image_columns).order_by("name", "row")).mappings().all()
    assert [dict(row) for row in found] == sorted(rows, key=lambda row: (row["name"], row["row"]))
    with pytest.raises(StoreError), database.begin() as connection:
        insert_many(connection, image_columns, rows[:1])
