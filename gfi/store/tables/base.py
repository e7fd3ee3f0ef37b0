"""What all tables share: one `metadata`, the types of columns, and columns that several tables have.

Times are epoch seconds of the database's clock. Ids are made by `gfi.domain.ids.new_id` and sort by time.
"""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gfi.domain.states import ShardState

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Time = sa.Double


def id_column() -> sa.Column[str]:
    return sa.Column("id", sa.Text, primary_key=True)


def count_column(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def flag_column(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def lease_columns() -> list[sa.Column[Any]]:
    """The columns that shards and control tasks have in common: state, fence, lease, time of publication."""
    return [
        sa.Column("state", sa.Text, nullable=False, server_default=ShardState.PENDING.value),
        count_column("fence"),
        sa.Column("claim_fence", sa.Integer),  # the fence, which a claim of version 0.1 does not write here
        sa.Column("worker", sa.Text),
        sa.Column("leased_at", Time),
        sa.Column("renewed_at", Time),
        sa.Column("lease_until", Time),
        sa.Column("not_before", Time, nullable=False, server_default="0"),
        sa.Column("published_at", Time),  # null: Redis is expected to have no message for it
        sa.Column("reason", sa.Text),
        sa.Column("failure_class", sa.Text),
        sa.Column("done_at", Time),
    ]


def in_state(table: sa.Table, state: StrEnum) -> sa.ColumnElement[bool]:
    """The condition that a row of a table is in this state.

    The state is a literal in the statement, not a parameter: a database uses a partial index only if it can see that
    the condition of the index holds.
    """
    return table.c.state == sa.literal_column(f"'{state}'", sa.Text)
