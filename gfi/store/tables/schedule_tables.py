"""Schedules and their firings."""

import sqlalchemy as sa

from gfi.store.tables.base import Json, Time, flag_column, id_column, metadata

schedules = sa.Table(
    "schedules",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("cron", sa.Text, nullable=False),  # empty for an interval
    sa.Column("zone", sa.Text, nullable=False),
    sa.Column("every_s", sa.Double),  # the interval in seconds; null for a cron line
    sa.Column(
        "trigger", sa.Text, nullable=False, server_default="time"
    ),  # time | model: only with other weights | data: only with another listing
    sa.Column("misfire", sa.Text, nullable=False, server_default="latest"),  # latest | skip | all
    sa.Column(
        "misfire_most", sa.Integer, nullable=False, server_default="1"
    ),  # firings made up for, with `all`
    sa.Column("overlap", sa.Text, nullable=False, server_default="skip"),  # skip | queue | cancel
    sa.Column(
        "whole", sa.Boolean, nullable=False, server_default=sa.false()
    ),  # no job is since the one before
    sa.Column("request", Json, nullable=False),  # options of a job, frozen anew at each firing
    sa.Column("settle_s", sa.Double, nullable=False, server_default="60"),  # of a trigger by data
    sa.Column("watched", Json),  # the last listing that was seen: `gfi.jobs.watching`
    sa.Column("follow_ups", Json),  # what follows each of its jobs, by name: `gfi.jobs.follow_ups`
    flag_column("paused"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("next_due", Time, server_default="0", index=True),  # null: never again; 0: not known yet
)

firings = sa.Table(
    "firings",
    metadata,
    sa.Column("schedule_id", sa.Text, sa.ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("firing_key", sa.Text, primary_key=True),  # the instant at which it was due: each fires once
    sa.Column("job_id", sa.Text),
    sa.Column("error", sa.Text),  # why it has no job
    flag_column("waiting"),  # for the job of the firing before to end
    sa.Column("at", Time, nullable=False),
    sa.Column("follow_ups", Json),  # the schedule's, when it fired
    sa.Column("followed", Json),  # what became of each, by name
    flag_column("following"),  # some are still to come
    sa.Index(
        "ix_firings_following",
        "schedule_id",
        sqlite_where=sa.text("following"),
        postgresql_where=sa.text("following"),
    ),
)
