"""Mean masks in the sums of results. Masks of existing results are in parts, which a migration does not read: they are
not counted."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("result_sums", sa.Column("masks", sa.LargeBinary()))
    op.add_column(
        "parts", sa.Column("masks_counted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "masks_due",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("part_row", sa.Integer(), nullable=False),
        sa.Column("sign", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "part_id", "part_row", "sign", name="pk_masks_due"),
    )


def downgrade() -> None:
    op.drop_table("masks_due")
    op.drop_column("parts", "masks_counted")
    op.drop_column("result_sums", "masks")
