"""Columns for what was kept elsewhere: whom a job tells, its tags, the kind of a token, what a task needs.

Webhook addresses were rows of the audit, of which only the last hundred of a job were read; the kind of a
token was a key of its limits.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

jobs = sa.table("jobs", sa.column("id"), sa.column("notify", _JSON))
audit = sa.table(
    "audit",
    sa.column("id"),
    sa.column("job_id"),
    sa.column("action"),
    sa.column("details", _JSON),
    sa.column("at"),
)
tokens = sa.table("tokens", sa.column("id"), sa.column("kind"), sa.column("limits", _JSON))


def upgrade() -> None:
    op.add_column("jobs", sa.Column("notify", _JSON, nullable=True))
    op.add_column("jobs", sa.Column("tags", _JSON, nullable=True))
    op.add_column("outbox", sa.Column("channel", sa.Text(), nullable=False, server_default="webhook"))
    op.add_column("tokens", sa.Column("kind", sa.Text(), nullable=False, server_default="api"))
    for column in (
        sa.Column("needs", sa.Text(), nullable=False, server_default="none"),
        sa.Column("queue", sa.Text(), nullable=False, server_default="control"),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("owner", sa.Text(), nullable=False, server_default=""),
        sa.Column("estimate_s", sa.Double(), nullable=True),
        sa.Column("progress", _JSON, nullable=True),
    ):
        op.add_column("control_tasks", column)
    connection = op.get_bind()
    asked = (
        sa.select(audit.c.job_id, audit.c.details).where(audit.c.action == "job.webhook").order_by(audit.c.at)
    )
    for job_id, details in connection.execute(asked).all():
        notify = [{"channel": "webhook", "address": details["url"]}]
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(notify=notify))
    for token_id, limits in connection.execute(sa.select(tokens.c.id, tokens.c.limits)).all():
        if kind := (limits or {}).get("kind"):
            rest = {name: value for name, value in limits.items() if name != "kind"}
            connection.execute(
                sa.update(tokens).where(tokens.c.id == token_id).values(kind=kind, limits=rest)
            )


def downgrade() -> None:
    connection = op.get_bind()
    for token_id, kind, limits in connection.execute(
        sa.select(tokens.c.id, tokens.c.kind, tokens.c.limits)
    ).all():
        if kind != "api":
            both = {**(limits or {}), "kind": kind}
            connection.execute(sa.update(tokens).where(tokens.c.id == token_id).values(limits=both))
    known = sa.select(audit.c.job_id).where(audit.c.action == "job.webhook")
    told = sa.select(jobs.c.id, jobs.c.notify).where(jobs.c.notify.is_not(None), jobs.c.id.not_in(known))
    for job_id, notify in connection.execute(told).all():
        for entry in notify or ():
            row = {"id": f"{job_id}-webhook", "job_id": job_id, "action": "job.webhook", "at": 0.0}
            connection.execute(
                sa.text(
                    "INSERT INTO audit (id, job_id, action, at, actor) VALUES (:id, :job_id, :action, :at, 'local')"
                ),
                row,
            )
            connection.execute(
                sa.update(audit).where(audit.c.id == row["id"]).values(details={"url": entry["address"]})
            )
    for name in ("progress", "estimate_s", "owner", "priority", "queue", "needs"):
        op.drop_column("control_tasks", name)
    op.drop_column("tokens", "kind")
    op.drop_column("outbox", "channel")
    op.drop_column("jobs", "tags")
    op.drop_column("jobs", "notify")
