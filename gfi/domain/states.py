"""The states of jobs, shards and tasks, and which state may follow which."""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. `paused` is a flag beside it: work in hand is committed, nothing new is claimed."""

    QUEUED = "queued"
    """Submitted; its listing is not begun."""
    PLANNING = "planning"
    """A control worker lists the data set into a manifest, or collects the rows of a retry."""
    RUNNING = "running"
    """Its shards are there to be claimed."""
    SUCCEEDED = "succeeded"
    """Every image has a result and none is `error` or `changed`."""
    PARTIAL = "partial"
    """Some images have a mask; others are `error` or `changed`, or their shard failed."""
    FAILED = "failed"
    """No image has a mask, or the job could not be planned; `error` says why."""
    CANCELLED = "cancelled"
    """Stopped by its owner; what was finished by then stays readable."""


class ShardState(StrEnum):
    """Where a shard or a control task is."""

    PENDING = "pending"
    """Waits to be claimed, not before `not_before`."""
    LEASED = "leased"
    """With `worker` until `lease_until`, under `fence`; nobody else may commit it."""
    DONE = "done"
    """Committed: its rows are in `results`."""
    FAILED = "failed"
    """Given up after repeated failures without progress; `reason` and `failure_class` say why."""
    CANCELLED = "cancelled"
    """Its job was cancelled before it was done."""


class ControlKind(StrEnum):
    """Work for queue `control`."""

    PLAN = "plan"
    RETRY = "retry"
    REPORT = "report"
    LIST = "list"
    SWEEP = "sweep"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})
ACTIVE = frozenset({JobState.QUEUED, JobState.PLANNING, JobState.RUNNING})
OPEN = frozenset({ShardState.PENDING, ShardState.LEASED})

# Terminal states are left by an explicit retry alone: to `planning` for the listing of the rows concerned,
# to `queued` when the job was never planned. `planning` returns to a terminal state when a retry's own
# planning fails or finds nothing.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.PLANNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.PLANNING: frozenset({JobState.RUNNING}) | TERMINAL,
    JobState.RUNNING: TERMINAL,
    JobState.SUCCEEDED: frozenset({JobState.PLANNING}),
    JobState.PARTIAL: frozenset({JobState.PLANNING}),
    JobState.FAILED: frozenset({JobState.PLANNING, JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.PLANNING, JobState.QUEUED}),
}

# Control tasks follow the same table. `failed` and `cancelled` return to `pending` by a job's retry only.
SHARD_TRANSITIONS: Mapping[ShardState, frozenset[ShardState]] = {
    ShardState.PENDING: frozenset({ShardState.LEASED, ShardState.FAILED, ShardState.CANCELLED}),
    ShardState.LEASED: frozenset(
        {ShardState.DONE, ShardState.PENDING, ShardState.FAILED, ShardState.CANCELLED}
    ),
    ShardState.DONE: frozenset(),
    ShardState.FAILED: frozenset({ShardState.PENDING}),
    ShardState.CANCELLED: frozenset({ShardState.PENDING}),
}
