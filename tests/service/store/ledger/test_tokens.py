"""Tokens."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound, StoreError
from gfi.store.ledger.tokens import start_session
from gfi.store.tables import tokens


def test_a_token_is_shown_once_and_kept_hashed(database: Database) -> None:
    token_id, plain = ledger.create_token(database, "ci", ["submit", "read"], limits={"images": 10})
    known = ledger.verify_token(database, plain)
    assert known is not None
    assert (known.scopes, known.limits) == (("read", "submit"), {"images": 10})
    assert ledger.verify_token(database, plain + "x") is None
    assert "sha256" not in queries.list_tokens(database)[0]
    with database.read() as connection:
        stored = connection.execute(sa.select(tokens)).one()
    assert plain not in str(stored)
    assert ledger.revoke_token(database, token_id)
    assert not ledger.revoke_token(database, token_id)
    assert ledger.verify_token(database, plain) is None
    with pytest.raises(NotFound):
        ledger.revoke_token(database, "nosuch")


def test_a_token_expires_and_scopes_are_checked(database: Database) -> None:
    token, plain = ledger.create_token(database, "short", ["read"], expires_in_s=3600.0)
    assert ledger.verify_token(database, plain) is not None
    with database.begin() as connection:
        an_hour_ago = tokens.c.expires_at - 3600.0
        connection.execute(sa.update(tokens).where(tokens.c.id == token).values(expires_at=an_hour_ago))
    assert ledger.verify_token(database, plain) is None
    with pytest.raises(StoreError, match="no scope 'root'"):
        ledger.create_token(database, "x", ["root"])


def test_of_many_who_want_one_name_at_once_one_gets_it(database: Database) -> None:
    def create(_: int) -> bool:
        try:
            ledger.create_token(database, "night", ["read"])
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, range(16))).count(True) == 1


def test_a_session_ends_with_the_token_it_was_started_with(database: Database) -> None:
    token_id, plain = ledger.create_token(database, "ann", ["submit"], limits={"max_images": 10})
    token = ledger.verify_token(database, plain)
    assert token is not None
    session = start_session(database, token, 3600.0)
    known = ledger.verify_token(database, session)
    assert known is not None
    assert (known.name, known.scopes, known.limits) == ("ann", ("submit",), {"max_images": 10})
    assert (known.kind, known.parent_id) == ("session", token_id)
    assert [row["name"] for row in queries.list_tokens(database)] == ["ann"]
    ledger.revoke_token(database, token_id)
    assert ledger.verify_token(database, session) is None
