"""Schedules that fire when the listing of their dataset has changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("schedules", sa.Column("settle_s", sa.Double(), nullable=False, server_default="60"))
    op.add_column("schedules", sa.Column("watched", _JSON))


def downgrade() -> None:
    # Earlier versions do not know this trigger: their firings would explain the dataset each time.
    op.execute("DELETE FROM schedules WHERE trigger = 'data'")
    op.drop_column("schedules", "watched")
    op.drop_column("schedules", "settle_s")
