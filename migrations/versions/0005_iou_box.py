"""The metric `iou_box`: a column of results, and its index for sorted galleries."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "iou_box"


def upgrade() -> None:
    for table in ("results", "attempts"):
        op.add_column(table, sa.Column(NAME, sa.Double(), nullable=True))
    op.create_index(
        f"ix_results_by_{NAME}",
        "results",
        ["job_id", NAME, "row"],
        sqlite_where=sa.text(f"{NAME} IS NOT NULL"),
        postgresql_where=sa.text(f"{NAME} IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(f"ix_results_by_{NAME}", "results")
    for table in ("attempts", "results"):
        op.drop_column(table, NAME)
