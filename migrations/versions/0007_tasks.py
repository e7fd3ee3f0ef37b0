"""Tasks belong to the owners of their jobs; an index for fairness between owners."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

tasks = sa.table("control_tasks", sa.column("job_id"), sa.column("owner"), sa.column("priority"))
jobs = sa.table("jobs", sa.column("id"), sa.column("owner"), sa.column("priority"))


def upgrade() -> None:
    op.create_index("ix_control_tasks_owner_leased_at", "control_tasks", ["owner", "leased_at"])
    mine = jobs.c.id == tasks.c.job_id
    op.execute(
        sa.update(tasks)
        .where(tasks.c.job_id.is_not(None))
        .values(
            owner=sa.func.coalesce(sa.select(jobs.c.owner).where(mine).scalar_subquery(), ""),
            priority=sa.func.coalesce(sa.select(jobs.c.priority).where(mine).scalar_subquery(), 0),
        )
    )


def downgrade() -> None:
    op.drop_index("ix_control_tasks_owner_leased_at", "control_tasks")
