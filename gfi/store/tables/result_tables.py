"""The results of images.

The commit of a shard inserts a row into `parts` (the file in the bucket) and a row per image into `results`; a row
that a later attempt replaces moves to `attempts`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gfi.domain.metrics import METRICS, PRIMARY_METHOD
from gfi.domain.result import RESULT_COLUMNS, Stored
from gfi.store.tables.base import Time, flag_column, id_column, metadata

# No foreign key to the job: a part to which carried results refer outlives it.
parts = sa.Table(
    "parts",
    metadata,
    id_column(),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("shard_id", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("manifest_key", sa.Text, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("stop", sa.Integer, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    flag_column(
        "masks_counted"
    ),  # its masks are in the mean masks of its job; those of earlier versions are not
    sa.Index(None, "job_id", "id"),
)

# Parts of other jobs that hold carried results of a job. It is always the part that a worker wrote, never a chain.
part_references = sa.Table(
    "part_references",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("part_id", sa.Text, sa.ForeignKey("parts.id"), primary_key=True, index=True),
)

_TYPES: Mapping[str, type[sa.types.TypeEngine[Any]]] = {
    "integer": sa.Integer,
    "number": sa.Double,
    "text": sa.Text,
    "status": sa.Text,
}
_RESULT_KEY: Mapping[str, str | None] = {
    "job_id": None,
    "row": None,
    "method": PRIMARY_METHOD,
    "target_rank": "0",
}
"""What names a result, and the default of the server."""


def _result_columns(also: Stored = "table") -> Iterator[sa.Column[Any]]:
    """The columns of a result: those of tables, and those that only `also` has."""
    by_name = {column.name: column for column in RESULT_COLUMNS}
    for name, default in _RESULT_KEY.items():
        yield sa.Column(name, _TYPES[by_name[name].kind], primary_key=True, server_default=default)
    for name, column in by_name.items():
        if name in _RESULT_KEY or column.stored not in ("both", "table", also):
            continue
        if column.kind == "metrics":
            yield from (sa.Column(metric, sa.Double) for metric in METRICS)
        elif column.stored == "attempts":
            yield sa.Column(name, _TYPES[column.kind], primary_key=True)
        else:
            yield sa.Column(name, _TYPES[column.kind], nullable=not column.required)


# No foreign keys: there are millions of these rows, and only the ledger writes them.
results = sa.Table(
    "results",
    metadata,
    *_result_columns(),
    # The primary key gives the order of rows, and finds `ok` rows as well, which are most rows of a job.
    sa.Index(
        "ix_results_not_ok",
        "job_id",
        "status",
        "row",
        sqlite_where=sa.text("status <> 'ok'"),
        postgresql_where=sa.text("status <> 'ok'"),
    ),
    sa.Index(None, "job_id", "prediction", "row"),
    # BRIN: which pages of the table have a job's results, in 0.05 bytes a result. A filter then reads the pages of one
    # job and not those of all.
    sa.Index(
        "ix_results_pages",
        "job_id",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 64, "autosummarize": "on"},
    ).ddl_if(dialect="postgresql"),
)

# The earlier results of an image, with all their columns.
attempts = sa.Table(
    "attempts",
    metadata,
    *_result_columns("attempts"),
)

# The further columns of the manifest, a row for each value: docs/decisions/0017. Text is compared byte by byte.
image_columns = sa.Table(
    "image_columns",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")),
    sa.Column("number", sa.Double),
    sqlite_with_rowid=False,
)

flags = sa.Table(
    "flags",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True),
    sa.Column("flag", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("at", Time, nullable=False),
)

# Queries of a job's results under a name: gfi.store.result_query.
saved_views = sa.Table(
    "saved_views",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("at", Time, nullable=False),
)
