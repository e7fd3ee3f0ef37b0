"""Jobs, their shards and tasks, and what went wrong with them.

A job has `shards`; a shard is a stretch [start, stop) of a manifest, and workers lease shards. `control_tasks` are
leased like shards. `incidents` records what went wrong with shards. Counters are columns of shards and not of jobs:
with a single row that all workers update, 859 transactions per second were reached; with separate rows 4,263.
"""

import sqlalchemy as sa

from gfi.domain.queues import CONTROL_QUEUE, EXPLAIN_QUEUE
from gfi.domain.statuses import ImageStatus
from gfi.store.tables.base import Json, Time, count_column, flag_column, id_column, lease_columns, metadata

jobs = sa.Table(
    "jobs",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("queue", sa.Text, nullable=False, server_default=EXPLAIN_QUEUE),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # higher first
    sa.Column("state", sa.Text, nullable=False),
    flag_column("paused"),
    sa.Column("config", Json, nullable=False),
    sa.Column("config_digest", sa.Text, nullable=False),
    sa.Column("listing_digest", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("model", Json),  # the classifier's record, frozen
    sa.Column("profile", Json),  # the execution profile, frozen by the first worker
    sa.Column("device_kind", sa.Text),
    sa.Column("manifest_key", sa.Text),
    sa.Column("manifest_digest", sa.Text),
    sa.Column("total", sa.Integer),  # images; null until planned
    sa.Column("facts", Json),  # metadata: what planning has learnt about the dataset, warnings
    sa.Column("error", sa.Text),
    sa.Column("notify", Json),  # addresses that are notified of its end: a list of {channel, address}
    sa.Column("tags", Json),  # words for finding the job
    sa.Column(
        "since", Json
    ),  # {job, verify, allow_shrunk}: the earlier job from which results are carried over
    sa.Column(
        "carried", sa.Integer
    ),  # images whose results were carried over; null until planned, or without since
    sa.Column("removed", sa.Integer),  # images of the earlier job that the dataset no longer has
    count_column("generation"),  # how often it was retried
    sa.Column("state_before", sa.Text),  # the state to which a retry that cannot be planned returns
    sa.Column("created_at", Time, nullable=False),
    sa.Column("planned_at", Time),
    sa.Column("finished_at", Time),
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
    sa.Column("created_at", Time, nullable=False),
)

shards = sa.Table(
    "shards",
    metadata,
    id_column(),  # made from job, retry and start: two shards can never begin at the same position
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("manifest_key", sa.Text, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),  # positions in the manifest, [start, stop)
    sa.Column("stop", sa.Integer, nullable=False),
    count_column("generation"),  # 0: the job's own manifest, n: the n-th retry's
    *lease_columns(),
    sa.Column("step", sa.Integer),  # the counter of the engine at the last renewal
    count_column("finished"),  # images finished and not yet committed, at the last renewal
    sa.Column("in_flight", Json),  # positions that the worker was processing at the last renewal
    flag_column("alone"),  # isolated: one image, suspected of killing its worker
    sa.Column("convicted", sa.Text),  # quarantined, and why: to be recorded as an error, never opened again
    count_column("deaths"),  # of workers, while the image was isolated
    count_column("unexplained"),  # deaths with no image in flight
    count_column("releases"),  # because of failures, since its last progress
    sa.Column("part_id", sa.Text),
    *(count_column(f"n_{status}") for status in ImageStatus),
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
    id_column(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", Json),
    sa.Column("needs", sa.Text, nullable=False, server_default="none"),  # none | network
    sa.Column("queue", sa.Text, nullable=False, server_default=CONTROL_QUEUE),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # higher first
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("estimate_s", sa.Double),  # expected seconds on a device, if known
    sa.Column("progress", Json),
    *lease_columns(),
    count_column("attempts"),  # claims, without those that ended in a death or a release
    count_column("deaths"),  # of workers that held it
    sa.Column("result", Json),
    sa.Column("created_at", Time, nullable=False),
    sa.Index(None, "state", "created_at"),
    sa.Index(None, "owner", "leased_at"),
)

incidents = sa.Table(
    "incidents",
    metadata,
    id_column(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("shard_id", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # death | release | failed | convicted (quarantined)
    sa.Column("worker", sa.Text),
    sa.Column("start", sa.Integer),
    sa.Column("stop", sa.Integer),
    sa.Column("suspects", Json),
    flag_column("alone"),  # the shard was isolated
    flag_column("absolved"),  # the death was retracted: the worker had lost its lease but was alive
    sa.Column("reason", sa.Text),
    sa.Column("failure_class", sa.Text),
    sa.Column("at", Time, nullable=False),
    sa.Index(None, "job_id", "id"),
    sa.Index(None, "shard_id", "fence"),
)

rates = sa.Table(
    "rates",  # measured images per second of each kind of work, for shard sizes and estimates
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),  # of model, recipe and profile
    sa.Column("device_kind", sa.Text, primary_key=True),
    sa.Column("images_per_s", sa.Double, nullable=False),
    sa.Column("image_bytes", sa.Double),  # of one image of a batch, beside the weights; null if not measured
    sa.Column("updated_at", Time, nullable=False),
)
