"""When a schedule is next due is stored, so that a tick of the scheduler need not compute it for every schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # 0: due long ago, so the next tick works out what was missed and stores the next instant.
    op.add_column("schedules", sa.Column("next_due", sa.Double(), nullable=True, server_default="0"))
    op.create_index("ix_schedules_next_due", "schedules", ["next_due"])


def downgrade() -> None:
    op.drop_index("ix_schedules_next_due", "schedules")
    op.drop_column("schedules", "next_due")
