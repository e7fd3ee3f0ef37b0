"""Sums of results, written by commits. Filled from the results of existing jobs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from gfi.domain.sums import IDENTITY, Sums

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Those of this revision: a later one may have more.
NUMBERS = (
    "probability",
    "kept",
    "removed",
    "area",
    "iterations",
    "deletion",
    "insertion",
    "average_drop",
    "energy_in_box",
    "pointing_hit",
    "pointing_hit_0",
    "iou_box",
    "entropy",
)


def upgrade() -> None:
    op.create_table(
        "result_sums",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("piece", sa.Text(), nullable=False),
        sa.Column("totals", sa.LargeBinary(), nullable=False),
        sa.Column("cells", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "piece", name="pk_result_sums"),
    )
    connection = op.get_bind()
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in (*IDENTITY, *NUMBERS)]
    for job_id in connection.execute(sa.text("SELECT id FROM jobs")).scalars().all():
        rows = connection.execute(
            sa.select(*columns)
            .select_from(sa.table("results"))
            .where(sa.column("job_id") == job_id, sa.column("target_rank") == 0),
            execution_options={"yield_per": 5000},
        )
        sums = Sums()
        for row in rows:
            sums.add(row[: len(IDENTITY)], zip(NUMBERS, row[len(IDENTITY) :], strict=True))
        if sums != Sums():
            totals, cells = sums.packed()
            values = {"job": job_id, "totals": totals, "cells": cells}
            insert = sa.text(
                "INSERT INTO result_sums (job_id, piece, totals, cells) VALUES (:job, 'merged-0011', :totals, :cells)"
            )
            connection.execute(insert, values)


def downgrade() -> None:
    op.drop_table("result_sums")
