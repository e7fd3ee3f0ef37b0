"""Orders of the results of large jobs, in place of an index of all results for each number; on PostgreSQL an index of
the pages of jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_NUMBERS = (
    *("area", "probability", "kept", "removed", "iterations", "deletion", "insertion", "average_drop"),
    *("energy_in_box", "pointing_hit", "pointing_hit_0", "entropy", "iou_box"),
)


def upgrade() -> None:
    for name in _NUMBERS:
        op.drop_index(f"ix_results_by_{name}", "results")
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            "ix_results_pages",
            "results",
            ["job_id"],
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 64, "autosummarize": "on"},
        )
    op.create_table(
        "result_orders",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("commits", sa.Integer(), nullable=False),
        sa.Column("low", sa.Double()),
        sa.Column("low_row", sa.Integer()),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("kinds", _JSON),
        sa.Column("codes", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("job_id", "name", "chunk", name="pk_result_orders"),
    )


def downgrade() -> None:
    op.drop_table("result_orders")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_results_pages", "results")
    for name in _NUMBERS:
        has_it = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_results_by_{name}",
            "results",
            ["job_id", name, "row"],
            sqlite_where=has_it,
            postgresql_where=has_it,
        )
