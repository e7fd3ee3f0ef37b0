"""The memory that `gfi bench` measured: a column of rates."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rates", sa.Column("image_bytes", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("rates", "image_bytes")
