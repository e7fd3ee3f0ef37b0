"""Intervals, misfires and overlaps of schedules. The jobs of existing schedules wait for each other, as whole jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = ("every_s", "trigger", "misfire", "misfire_most", "overlap", "whole")


def upgrade() -> None:
    op.add_column("schedules", sa.Column("every_s", sa.Double()))
    op.add_column("schedules", sa.Column("trigger", sa.Text(), nullable=False, server_default="time"))
    op.add_column("schedules", sa.Column("misfire", sa.Text(), nullable=False, server_default="latest"))
    op.add_column("schedules", sa.Column("misfire_most", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("schedules", sa.Column("overlap", sa.Text(), nullable=False, server_default="skip"))
    op.add_column("schedules", sa.Column("whole", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("firings", sa.Column("waiting", sa.Boolean(), nullable=False, server_default=sa.false()))
    schedules = sa.table("schedules", sa.column("overlap"), sa.column("whole", sa.Boolean()))
    op.execute(sa.update(schedules).values(overlap="queue", whole=sa.true()))


def downgrade() -> None:
    # Earlier versions cannot read an interval.
    op.execute("DELETE FROM schedules WHERE every_s IS NOT NULL")
    op.drop_column("firings", "waiting")
    for name in reversed(_COLUMNS):
        op.drop_column("schedules", name)
