"""The metric `grid_pointing`: columns of results."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

NAMES = ("grid_pointing", "grid_hit")


def upgrade() -> None:
    for table in ("results", "attempts"):
        for name in NAMES:
            op.add_column(table, sa.Column(name, sa.Double(), nullable=True))


def downgrade() -> None:
    for table in ("attempts", "results"):
        for name in reversed(NAMES):
            op.drop_column(table, name)
