"""The metrics `average_gain`, `road` and `photograph_fill`: columns of results."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

NAMES = ("average_gain", "road_deletion", "road_insertion", "deletion_photograph", "insertion_photograph")


def upgrade() -> None:
    for table in ("results", "attempts"):
        for name in NAMES:
            op.add_column(table, sa.Column(name, sa.Double(), nullable=True))


def downgrade() -> None:
    for table in ("attempts", "results"):
        for name in reversed(NAMES):
            op.drop_column(table, name)
