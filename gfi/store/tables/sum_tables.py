"""What is kept of a job's results so that a page of millions of them is quick: sums and orders."""

import sqlalchemy as sa

from gfi.store.tables.base import Json, metadata

# Sums of a job's results in pieces: gfi.store.ledger.sums.
result_sums = sa.Table(
    "result_sums",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("piece", sa.Text, primary_key=True),  # the shard whose commit wrote it, or merged-…
    sa.Column("totals", sa.LargeBinary, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
    sa.Column("masks", sa.LargeBinary),  # gfi.domain.mean_masks; null: no mask counts
)

# Masks to be subtracted from the sums (replaced results) or added (carried ones): gfi.store.ledger.mean_masks.
masks_due = sa.Table(
    "masks_due",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("part_id", sa.Text, primary_key=True),
    sa.Column("part_row", sa.Integer, primary_key=True),
    sa.Column("sign", sa.Integer, primary_key=True),  # -1 or 1
)

# The results of a large job in the order of each number, a few thousand to a row: gfi.store.ledger.orders.
result_orders = sa.Table(
    "result_orders",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),  # the number
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "commits", sa.Integer, nullable=False
    ),  # of the job, when it was made: valid while it has no more
    sa.Column("low", sa.Double),  # the number of its first result; null: these have none
    sa.Column("low_row", sa.Integer),
    sa.Column("rows", sa.LargeBinary, nullable=False),  # int32 each, little-endian
    sa.Column("kinds", Json),  # lists of method and rank of class; null: all are the job's own, of rank 0
    sa.Column("codes", sa.LargeBinary),  # uint16 each: which of `kinds`
)
