"""The metric `localisation`: a column of results."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NAME = "localisation_error"


def upgrade() -> None:
    for table in ("results", "attempts"):
        op.add_column(table, sa.Column(NAME, sa.Double(), nullable=True))


def downgrade() -> None:
    for table in ("attempts", "results"):
        op.drop_column(table, NAME)
