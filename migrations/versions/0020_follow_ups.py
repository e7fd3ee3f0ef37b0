"""What follows a job of a schedule. Nothing follows the jobs that have been submitted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("schedules", sa.Column("follow_ups", _JSON))
    op.add_column("firings", sa.Column("follow_ups", _JSON))
    op.add_column("firings", sa.Column("followed", _JSON))
    op.add_column("firings", sa.Column("following", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_firings_following",
        "firings",
        ["schedule_id"],
        sqlite_where=sa.text("following"),
        postgresql_where=sa.text("following"),
    )


def downgrade() -> None:
    op.drop_index("ix_firings_following", table_name="firings")
    for name in ("following", "followed", "follow_ups"):
        op.drop_column("firings", name)
    op.drop_column("schedules", "follow_ups")
