"""The further columns of manifests, stored with the results of a job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "image_columns",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")),
        sa.Column("number", sa.Double()),
        sa.PrimaryKeyConstraint("job_id", "name", "row", name="pk_image_columns"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("image_columns")
