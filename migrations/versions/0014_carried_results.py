"""Results carried over from an earlier job; parts outlive their job while another refers to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_NAMES = {"fk": "fk_%(table_name)s_%(column_0_N_name)s"}
_KEY = "fk_parts_job_id"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("since", _JSON))
    op.add_column("jobs", sa.Column("carried", sa.Integer()))
    op.add_column("jobs", sa.Column("removed", sa.Integer()))
    with op.batch_alter_table("parts", naming_convention=_NAMES) as batch:
        batch.drop_constraint(_KEY, type_="foreignkey")
    op.create_table(
        "part_references",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "part_id", name="pk_part_references"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_part_references_job_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["part_id"], ["parts.id"], name="fk_part_references_part_id"),
    )
    op.create_index("ix_part_references_part_id", "part_references", ["part_id"])


def downgrade() -> None:
    # A carried result would lose its mask with the part of a job that is gone.
    left = "SELECT count(*) FROM parts WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = parts.job_id)"
    if number := op.get_bind().execute(sa.text(left)).scalar_one():
        raise RuntimeError(
            f"{number} parts of deleted jobs hold carried results; delete the jobs that carry them, then sweep"
        )
    op.drop_table("part_references")
    with op.batch_alter_table("parts", naming_convention=_NAMES) as batch:
        batch.create_foreign_key(_KEY, "jobs", ["job_id"], ["id"], ondelete="CASCADE")
    for name in ("removed", "carried", "since"):
        op.drop_column("jobs", name)
