"""Audits of a job's masks, and their findings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def upgrade() -> None:
    op.create_table(
        "audits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        _text("owner"),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text()),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("settings_digest", sa.Text(), nullable=False),
        sa.Column("options", _JSON, nullable=False),
        sa.Column("plan", _JSON),
        sa.Column("summary", _JSON),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("screened_at", sa.Double()),
        sa.Column("done_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_audits"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_audits_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_audits_job_id_id", "audits", ["job_id", "id"])
    op.create_index("ix_audits_series_done_at", "audits", ["series", "done_at"])
    op.create_table(
        "findings",
        sa.Column("audit_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("class_index", sa.Integer()),
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("history", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("record", _JSON, nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False, server_default=sa.false()),
        _text("dismissed"),
        _text("note"),
        _text("assignee"),
        _text("decided_by"),
        sa.Column("decided_at", sa.Double()),
        sa.PrimaryKeyConstraint("audit_id", "id", name="pk_findings"),
        sa.ForeignKeyConstraint(["audit_id"], ["audits.id"], name="fk_findings_audit_id", ondelete="CASCADE"),
    )
    op.create_index("ix_findings_audit_id_position", "findings", ["audit_id", "position"])


def downgrade() -> None:
    op.drop_table("findings")
    op.drop_table("audits")
