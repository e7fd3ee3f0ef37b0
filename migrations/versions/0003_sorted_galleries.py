"""An index for each number that a gallery can be sorted by."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBERS = (
    *("area", "probability", "kept", "removed", "iterations", "deletion", "insertion", "average_drop"),
    *("energy_in_box", "pointing_hit", "pointing_hit_0", "entropy"),
)


def upgrade() -> None:
    for name in _NUMBERS:
        has_it = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_results_by_{name}",
            "results",
            ["job_id", name, "row"],
            sqlite_where=has_it,
            postgresql_where=has_it,
        )


def downgrade() -> None:
    for name in _NUMBERS:
        op.drop_index(f"ix_results_by_{name}", "results")
