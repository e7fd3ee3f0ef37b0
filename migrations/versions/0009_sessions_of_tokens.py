"""A browser session that was started with a token names it, and ends with it. Cookies that held a token end here."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("parent_id", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("tokens", "parent_id")
