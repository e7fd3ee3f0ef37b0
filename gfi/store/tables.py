"""The tables.

A job has `shards`; a shard is a stretch [start, stop) of a manifest, and workers lease shards. The commit
of a shard inserts a row into `parts` (the file in the bucket) and a row per image into `results`; a row
that a later attempt replaces moves to `attempts`. `control_tasks` are leased like shards. `incidents`
records what went wrong with shards. Counters are columns of shards and not of jobs: with a single row that all workers
update, 859 transactions per second were reached; with separate rows 4,263.

Times are epoch seconds of the database's clock. Ids are made by `gfi.domain.ids.new_id` and sort by time.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gfi.domain.metrics import METRICS, PRIMARY_METHOD
from gfi.domain.queues import CONTROL_QUEUE, EXPLAIN_QUEUE
from gfi.domain.result import RESULT_COLUMNS, Stored
from gfi.domain.states import ShardState
from gfi.domain.statuses import ImageStatus

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_Time = sa.Double


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.Text, primary_key=True)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _leased() -> list[sa.Column[Any]]:
    """The columns that shards and control tasks have in common: state, fence, lease, time of publication."""
    return [
        sa.Column("state", sa.Text, nullable=False, server_default=ShardState.PENDING.value),
        _count("fence"),
        sa.Column("worker", sa.Text),
        sa.Column("leased_at", _Time),
        sa.Column("renewed_at", _Time),
        sa.Column("lease_until", _Time),
        sa.Column("not_before", _Time, nullable=False, server_default="0"),
        sa.Column("published_at", _Time),  # null: Redis is expected to have no message for it
        sa.Column("reason", sa.Text),
        sa.Column("failure_class", sa.Text),
        sa.Column("done_at", _Time),
    ]


jobs = sa.Table(
    "jobs",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("queue", sa.Text, nullable=False, server_default=EXPLAIN_QUEUE),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # higher first
    sa.Column("state", sa.Text, nullable=False),
    _flag("paused"),
    sa.Column("config", _Json, nullable=False),
    sa.Column("config_digest", sa.Text, nullable=False),
    sa.Column("listing_digest", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("model", _Json),  # the classifier's record, frozen
    sa.Column("profile", _Json),  # the execution profile, frozen by the first worker
    sa.Column("device_kind", sa.Text),
    sa.Column("manifest_key", sa.Text),
    sa.Column("manifest_digest", sa.Text),
    sa.Column("total", sa.Integer),  # images; null until planned
    sa.Column("facts", _Json),  # metadata: what planning has learnt about the dataset, warnings
    sa.Column("error", sa.Text),
    sa.Column("notify", _Json),  # addresses that are notified of its end: a list of {channel, address}
    sa.Column("tags", _Json),  # words for finding the job
    sa.Column(
        "since", _Json
    ),  # {job, verify, allow_shrunk}: the earlier job from which results are carried over
    sa.Column(
        "carried", sa.Integer
    ),  # images whose results were carried over; null until planned, or without since
    sa.Column("removed", sa.Integer),  # images of the earlier job that the dataset no longer has
    _count("generation"),  # how often it was retried
    sa.Column("state_before", sa.Text),  # the state to which a retry that cannot be planned returns
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("planned_at", _Time),
    sa.Column("finished_at", _Time),
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.Index(None, "state", "priority"),
    sa.Index(None, "config_digest"),
)

submission_keys = sa.Table(
    "submission_keys",  # idempotency keys; a key also names a job that another submission had started
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("config_digest", sa.Text, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
)

shards = sa.Table(
    "shards",
    metadata,
    _id(),  # made from job, retry and start: two shards can never begin at the same position
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("manifest_key", sa.Text, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),  # positions in the manifest, [start, stop)
    sa.Column("stop", sa.Integer, nullable=False),
    _count("generation"),  # 0: the job's own manifest, n: the n-th retry's
    *_leased(),
    sa.Column("step", sa.Integer),  # the counter of the engine at the last renewal
    _count("finished"),  # images finished and not yet committed, at the last renewal
    sa.Column("in_flight", _Json),  # positions that the worker was processing at the last renewal
    _flag("alone"),  # isolated: one image, suspected of killing its worker
    sa.Column("convicted", sa.Text),  # quarantined, and why: to be recorded as an error, never opened again
    _count("deaths"),  # of workers, while the image was isolated
    _count("unexplained"),  # deaths with no image in flight
    _count("releases"),  # because of failures, since its last progress
    sa.Column("part_id", sa.Text),
    *(_count(f"n_{status}") for status in ImageStatus),
    sa.Index(None, "job_id", "state", "start"),
    sa.Index(None, "job_id", "done_at"),
    # For the reaper, which reads the few leased rows only.
    sa.Index(
        "ix_shards_leased",
        "lease_until",
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    ),
    sa.Index(
        "ix_shards_published",
        "published_at",
        sqlite_where=sa.text("state = 'pending' AND published_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'pending' AND published_at IS NOT NULL"),
    ),
)

control_tasks = sa.Table(
    "control_tasks",
    metadata,
    _id(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", _Json),
    sa.Column("needs", sa.Text, nullable=False, server_default="none"),  # none | network
    sa.Column("queue", sa.Text, nullable=False, server_default=CONTROL_QUEUE),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # higher first
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("estimate_s", sa.Double),  # expected seconds on a device, if known
    sa.Column("progress", _Json),
    *_leased(),
    _count("attempts"),  # claims, without those that ended in a death or a release
    _count("deaths"),  # of workers that held it
    sa.Column("result", _Json),
    sa.Column("created_at", _Time, nullable=False),
    sa.Index(None, "state", "created_at"),
    sa.Index(None, "owner", "leased_at"),
)

# No foreign key to the job: a part to which carried results refer outlives it.
parts = sa.Table(
    "parts",
    metadata,
    _id(),
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
    sa.Column("created_at", _Time, nullable=False),
    _flag("masks_counted"),  # its masks are in the mean masks of its job; those of earlier versions are not
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
    sa.Column("kinds", _Json),  # lists of method and rank of class; null: all are the job's own, of rank 0
    sa.Column("codes", sa.LargeBinary),  # uint16 each: which of `kinds`
)

incidents = sa.Table(
    "incidents",
    metadata,
    _id(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("shard_id", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # death | release | failed | convicted (quarantined)
    sa.Column("worker", sa.Text),
    sa.Column("start", sa.Integer),
    sa.Column("stop", sa.Integer),
    sa.Column("suspects", _Json),
    _flag("alone"),  # the shard was isolated
    _flag("absolved"),  # the death was retracted: the worker had lost its lease but was alive
    sa.Column("reason", sa.Text),
    sa.Column("failure_class", sa.Text),
    sa.Column("at", _Time, nullable=False),
    sa.Index(None, "job_id", "id"),
    sa.Index(None, "shard_id", "fence"),
)

scheduler_heartbeat = sa.Table(
    "pulse",  # one row: when a scheduler last checked for overdue leases; a gap means an outage, see ledger.reaper
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", _Time, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    _id(),
    sa.Column("host", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("device", sa.Text),
    sa.Column("queues", _Json),
    sa.Column("version", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("rate", sa.Double),  # images per second, of the last minutes
    sa.Column("memory_mib", sa.Double),
    sa.Column("shard_id", sa.Text),
    sa.Column("clock_skew_s", sa.Double),
    sa.Column("facts", _Json),
    sa.Column("started_at", _Time, nullable=False),
    sa.Column("seen_at", _Time, nullable=False),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("record", _Json, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("updated_at", _Time, nullable=False),
)

model_versions = sa.Table(
    "model_versions",  # one row a registration that changed something; `models` has the newest
    metadata,
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("record", _Json, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("deleted_at", _Time),
    sa.Column(
        "files", _Json
    ),  # a list of {name, sha256, bytes} in the bucket; null: it has none, or they are unknown
)

rates = sa.Table(
    "rates",  # measured images per second of each kind of work, for shard sizes and estimates
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),  # of model, recipe and profile
    sa.Column("device_kind", sa.Text, primary_key=True),
    sa.Column("images_per_s", sa.Double, nullable=False),
    sa.Column("updated_at", _Time, nullable=False),
)

schedules = sa.Table(
    "schedules",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("cron", sa.Text, nullable=False),  # empty for an interval
    sa.Column("zone", sa.Text, nullable=False),
    sa.Column("every_s", sa.Double),  # the interval in seconds; null for a cron line
    sa.Column(
        "trigger", sa.Text, nullable=False, server_default="time"
    ),  # time | model: only with other weights
    sa.Column("misfire", sa.Text, nullable=False, server_default="latest"),  # latest | skip | all
    sa.Column(
        "misfire_most", sa.Integer, nullable=False, server_default="1"
    ),  # firings made up for, with `all`
    sa.Column("overlap", sa.Text, nullable=False, server_default="skip"),  # skip | queue | cancel
    sa.Column(
        "whole", sa.Boolean, nullable=False, server_default=sa.false()
    ),  # no job is since the one before
    sa.Column("request", _Json, nullable=False),  # options of a job, frozen anew at each firing
    _flag("paused"),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("next_due", _Time, server_default="0", index=True),  # null: never again; 0: not known yet
)

firings = sa.Table(
    "firings",
    metadata,
    sa.Column("schedule_id", sa.Text, sa.ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("firing_key", sa.Text, primary_key=True),  # the instant at which it was due: each fires once
    sa.Column("job_id", sa.Text),
    sa.Column("error", sa.Text),  # why it has no job
    _flag("waiting"),  # for the job of the firing before to end
    sa.Column("at", _Time, nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default="api"),  # api | link | session
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", _Json, nullable=False),
    sa.Column("limits", _Json),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("expires_at", _Time),
    sa.Column("revoked_at", _Time),
    sa.Column("used_at", _Time),
    # for a session: the token that was used to sign in; the session ends with it
    sa.Column("parent_id", sa.Text),
)

audit = sa.Table(
    "audit",
    metadata,
    _id(),
    sa.Column("at", _Time, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, index=True),
    sa.Column("details", _Json),
)

outbox = sa.Table(
    "outbox",  # messages to other systems, sent after the transaction that wrote them
    metadata,
    _id(),
    sa.Column("job_id", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False, server_default="webhook"),  # a message has one
    sa.Column("payload", _Json, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
    _count("attempts"),
    sa.Column("not_before", _Time, nullable=False, server_default="0"),
    sa.Column("sent_at", _Time),
    sa.Column("error", sa.Text),
)

flags = sa.Table(
    "flags",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True),
    sa.Column("flag", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("at", _Time, nullable=False),
)


# Queries of a job's results under a name: gfi.jobs.result_query.
saved_views = sa.Table(
    "saved_views",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("at", _Time, nullable=False),
)


# Audits of a job's masks and what they found. Not the log of actions, which is `audit`.
audits = sa.Table(
    "audits",
    metadata,
    _id(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "series", sa.Text, nullable=False
    ),  # of dataset, model name and scope: findings are compared within it
    sa.Column(
        "task_id", sa.Text
    ),  # the task that screens or confirms; its state is the audit's until the end
    sa.Column("secret", sa.Text, nullable=False),  # of the split in halves
    sa.Column("settings", _Json, nullable=False),
    sa.Column("settings_digest", sa.Text, nullable=False),
    sa.Column("options", _Json, nullable=False),
    sa.Column("plan", _Json),  # what confirmation would take; null until it was screened
    sa.Column("summary", _Json),  # null until it is done
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("screened_at", _Time),
    sa.Column("done_at", _Time),
    sa.Index(None, "job_id", "id"),
    sa.Index(None, "series", "done_at"),
)

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("audit_id", sa.Text, sa.ForeignKey("audits.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),  # the same in every audit that finds it
    sa.Column("position", sa.Integer, nullable=False),  # in the order of the audit
    sa.Column("class_index", sa.Integer),
    sa.Column("class_name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("history", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("record", _Json, nullable=False),  # place, numbers, pictures
    _flag("accepted"),
    sa.Column("dismissed", sa.Text, nullable=False, server_default=""),  # the reason; empty: it is not
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("assignee", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_at", _Time),
    sa.Index(None, "audit_id", "position"),
)


def in_state(table: sa.Table, state: StrEnum) -> sa.ColumnElement[bool]:
    """The condition that a row of a table is in this state.

    The state is a literal in the statement, not a parameter: a database uses a partial index only if it can see that
    the condition of the index holds.
    """
    return table.c.state == sa.literal_column(f"'{state}'", sa.Text)
