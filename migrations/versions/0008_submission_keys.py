"""Idempotency keys in a table of their own: several may name one job."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

jobs = sa.table(
    "jobs",
    *(sa.column(name) for name in ("id", "owner", "idempotency_key", "config_digest", "created_at")),
)


def upgrade() -> None:
    keys = op.create_table(
        "submission_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("config_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_submission_keys"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_submission_keys_job_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_submission_keys_job_id", "submission_keys", ["job_id"])
    known = sa.select(
        jobs.c.owner, jobs.c.idempotency_key, jobs.c.id, jobs.c.config_digest, jobs.c.created_at
    ).where(jobs.c.idempotency_key.is_not(None))
    op.execute(sa.insert(keys).from_select(["owner", "key", "job_id", "config_digest", "created_at"], known))


def downgrade() -> None:
    op.drop_table("submission_keys")
