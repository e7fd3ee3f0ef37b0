"""The service itself: who works, who may, who did what, and what is to be sent."""

import sqlalchemy as sa

from gfi.store.tables.base import Json, Time, count_column, id_column, metadata

scheduler_heartbeat = sa.Table(
    "pulse",  # one row: when a scheduler last checked for overdue leases; a gap means an outage, see ledger.reaper
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", Time, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    id_column(),
    sa.Column("host", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("device", sa.Text),
    sa.Column("queues", Json),
    sa.Column("version", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("rate", sa.Double),  # images per second, of the last minutes
    sa.Column("memory_mib", sa.Double),
    sa.Column("shard_id", sa.Text),
    sa.Column("clock_skew_s", sa.Double),
    sa.Column("facts", Json),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("seen_at", Time, nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default="api"),  # api | link | session
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("limits", Json),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("revoked_at", Time),
    sa.Column("used_at", Time),
    # for a session: the token that was used to sign in; the session ends with it
    sa.Column("parent_id", sa.Text),
)

audit = sa.Table(
    "audit",
    metadata,
    id_column(),
    sa.Column("at", Time, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, index=True),
    sa.Column("details", Json),
)

outbox = sa.Table(
    "outbox",  # messages to other systems, sent after the transaction that wrote them
    metadata,
    id_column(),
    sa.Column("job_id", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False, server_default="webhook"),  # a message has one
    sa.Column("payload", Json, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    count_column("attempts"),
    sa.Column("not_before", Time, nullable=False, server_default="0"),
    sa.Column("sent_at", Time),
    sa.Column("error", sa.Text),
)
