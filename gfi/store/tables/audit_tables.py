"""Audits of a job's masks and what they found. Not the log of actions, which is `audit` in `operation_tables`."""

import sqlalchemy as sa

from gfi.store.tables.base import Json, Time, flag_column, id_column, metadata

audits = sa.Table(
    "audits",
    metadata,
    id_column(),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "series", sa.Text, nullable=False
    ),  # of dataset, model name and scope: findings are compared within it
    sa.Column(
        "task_id", sa.Text
    ),  # the task that screens or confirms; its state is the audit's until the end
    sa.Column("secret", sa.Text, nullable=False),  # of the split in halves
    sa.Column("settings", Json, nullable=False),
    sa.Column("settings_digest", sa.Text, nullable=False),
    sa.Column("options", Json, nullable=False),
    sa.Column("plan", Json),  # what confirmation would take; null until it was screened
    sa.Column("summary", Json),  # null until it is done
    sa.Column("created_at", Time, nullable=False),
    sa.Column("screened_at", Time),
    sa.Column("done_at", Time),
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
    sa.Column("record", Json, nullable=False),  # place, numbers, pictures
    flag_column("accepted"),
    sa.Column("dismissed", sa.Text, nullable=False, server_default=""),  # the reason; empty: it is not
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("assignee", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_at", Time),
    sa.Index(None, "audit_id", "position"),
)
