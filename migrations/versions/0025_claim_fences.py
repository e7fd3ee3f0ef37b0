"""Workers of earlier versions can neither claim nor commit.

Their commits lack what this version keeps up to date: the sums of results, for one. They go on running beside the
upgrade, claim nothing and say which constraint refused them. What they hold is waiting again, so that they lose their
leases.

A migration after which the claims of this version have to be refused renames `claim_fence`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

shards = sa.table(
    "shards", *(sa.column(name) for name in ("job_id", "state", "published_at", "finished", "in_flight"))
)
jobs = sa.table("jobs", sa.column("id"), sa.column("state"))
tasks = sa.table("control_tasks", *(sa.column(name) for name in ("state", "published_at", "attempts")))


def upgrade() -> None:
    end_leases()
    for table in ("shards", "control_tasks"):
        # One statement of both dialects. The name is what a worker of version 0.1 logs.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN claim_fence INTEGER CONSTRAINT claimed_by_gfi_0_2_or_later "
            "CHECK (state <> 'leased' OR COALESCE(claim_fence, -1) = fence)"
        )


def downgrade() -> None:
    end_leases()
    for table in ("shards", "control_tasks"):
        op.drop_column(table, "claim_fence")


def end_leases() -> None:
    """leased → pending, and → cancelled in a job that was cancelled."""
    running = sa.select(jobs.c.id).where(jobs.c.state == "running")
    held = sa.update(shards).where(shards.c.state == "leased")
    waiting = {"state": "pending", "published_at": None, "finished": 0, "in_flight": None}
    op.execute(held.where(shards.c.job_id.in_(running)).values(waiting))
    op.execute(held.values(state="cancelled"))
    op.execute(
        sa.update(tasks)
        .where(tasks.c.state == "leased")
        .values(state="pending", published_at=None, attempts=tasks.c.attempts - 1)
    )
