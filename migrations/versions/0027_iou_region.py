"""The metric `iou_region`: a column of results."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

NAME = "iou_region"


def upgrade() -> None:
    for table in ("results", "attempts"):
        op.add_column(table, sa.Column(NAME, sa.Double(), nullable=True))


def downgrade() -> None:
    for table in ("attempts", "results"):
        op.drop_column(table, NAME)
