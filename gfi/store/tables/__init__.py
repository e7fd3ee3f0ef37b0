"""The tables of the database.

A module for each subject; `work_tables` has jobs, shards and tasks. A table is imported from here, wherever it is
defined.
"""

from gfi.store.tables.audit_tables import audits, findings
from gfi.store.tables.base import in_state, metadata
from gfi.store.tables.model_tables import model_versions, models
from gfi.store.tables.operation_tables import audit, outbox, scheduler_heartbeat, tokens, workers
from gfi.store.tables.result_tables import (
    attempts,
    flags,
    image_columns,
    part_references,
    parts,
    results,
    saved_views,
)
from gfi.store.tables.schedule_tables import firings, schedules
from gfi.store.tables.sum_tables import masks_due, result_orders, result_sums
from gfi.store.tables.work_tables import control_tasks, incidents, jobs, rates, shards, submission_keys

__all__ = [
    "attempts",
    "audit",
    "audits",
    "control_tasks",
    "findings",
    "firings",
    "flags",
    "image_columns",
    "in_state",
    "incidents",
    "jobs",
    "masks_due",
    "metadata",
    "model_versions",
    "models",
    "outbox",
    "part_references",
    "parts",
    "rates",
    "result_orders",
    "result_sums",
    "results",
    "saved_views",
    "scheduler_heartbeat",
    "schedules",
    "shards",
    "submission_keys",
    "tokens",
    "workers",
]
