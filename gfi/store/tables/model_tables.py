"""Registered models and their versions."""

import sqlalchemy as sa

from gfi.store.tables.base import Json, Time, metadata

models = sa.Table(
    "models",
    metadata,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
)

model_versions = sa.Table(
    "model_versions",  # one row a registration that changed something; `models` has the newest
    metadata,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("deleted_at", Time),
    sa.Column(
        "files", Json
    ),  # a list of {name, sha256, bytes} in the bucket; null: it has none, or they are unknown
)
