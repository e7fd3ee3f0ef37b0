"""The files of a version of a model, which are in the bucket by their SHA-256."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("model_versions", sa.Column("files", _JSON))


def downgrade() -> None:
    with op.batch_alter_table("model_versions") as table:
        table.drop_column("files")
