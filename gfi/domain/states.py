"""The states of jobs, shards and tasks, and which state may follow which."""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. In addition a job may be paused: finished images are committed, and no shard is claimed."""

    QUEUED = "queued"
    """Submitted; its dataset is not being listed yet."""
    PLANNING = "planning"
    """A control worker lists the dataset into a manifest or collects the rows of a retry."""
    RUNNING = "running"
    """Its shards can be claimed."""
    SUCCEEDED = "succeeded"
    """Every image has a result and none is `error` or `changed`."""
    PARTIAL = "partial"
    """Some images have a mask; others are `error` or `changed`, or their shard failed."""
    FAILED = "failed"
    """No image has a mask, or the job could not be planned; `error` says why."""
    CANCELLED = "cancelled"
    """Stopped by its owner; the images that were finished before stay readable."""


class ShardState(StrEnum):
    """The state of a shard or a task."""

    PENDING = "pending"
    """Can be claimed from `not_before` on."""
    LEASED = "leased"
    """`worker` holds it until `lease_until`, under `fence`; no other worker may commit it."""
    DONE = "done"
    """Committed: its results are in the database."""
    FAILED = "failed"
    """Failed repeatedly without progress; `reason` and `failure_class` say why."""
    CANCELLED = "cancelled"
    """Cancelled, alone or with its job, before it was done."""


class ControlKind(StrEnum):
    """The names of the kinds of tasks; `gfi.domain.tasks` says what each needs."""

    PLAN = "plan"
    RETRY = "retry"
    REPORT = "report"
    LIST = "list"
    ORDER = "order"
    SWEEP = "sweep"
    KEEP = "keep"
    LOOK = "look"
    REGISTER = "register"
    COMPARE = "compare"
    SCREEN = "audit-screen"
    CONFIRM = "audit-confirm"
    VERIFY = "audit-verify"
    TRANSFER = "transfer"
    EXPORT = "export"
    IMPORT = "import"


class AuditState(StrEnum):
    """The state of an audit: that of its task, until it is done."""

    EXPLAINING = "explaining"
    """Of an audit until settled: workers explain its next images."""
    SCREENING = "screening"
    """Masks are read, and candidates proposed. Needs no network."""
    SCREENED = "screened"
    """Candidates are known and what testing them takes; it was asked for no more, or no more is allowed."""
    CONFIRMING = "confirming"
    """A worker asks the network."""
    DONE = "done"
    """Its findings are stored."""
    FAILED = "failed"
    """Its task failed; `reason` says why."""
    CANCELLED = "cancelled"
    """Stopped by a person, or its job was explained again."""


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})
JUDGED = TERMINAL - {JobState.CANCELLED}
"""The states in which a job ends by itself: which of them follows from its results."""
AUDIT_OPEN = frozenset({AuditState.EXPLAINING, AuditState.SCREENING, AuditState.CONFIRMING})
"""The states in which an audit goes on by itself."""
ACTIVE = frozenset({JobState.QUEUED, JobState.PLANNING, JobState.RUNNING})
OPEN = frozenset({ShardState.PENDING, ShardState.LEASED})

# Only a retry leaves the terminal states: to `planning`, where the rows to be retried are collected, or to
# `queued`, when the job was never planned. `planning` returns to a terminal state when the planning of a
# retry fails, finds nothing to do or is cancelled. A commit that arrives after the end changes the state where
# another follows from the results: a worker had finished images when its job failed or its retry was cancelled.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.PLANNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.PLANNING: frozenset({JobState.RUNNING}) | TERMINAL,
    JobState.RUNNING: TERMINAL,
    JobState.SUCCEEDED: frozenset({JobState.PLANNING, JobState.PARTIAL, JobState.FAILED}),
    JobState.PARTIAL: frozenset({JobState.PLANNING, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.PLANNING, JobState.QUEUED, JobState.SUCCEEDED, JobState.PARTIAL}),
    JobState.CANCELLED: frozenset({JobState.PLANNING, JobState.QUEUED}),
}

# For tasks as well. Only a retry returns `failed` and `cancelled` ones to `pending`.
SHARD_TRANSITIONS: Mapping[ShardState, frozenset[ShardState]] = {
    ShardState.PENDING: frozenset({ShardState.LEASED, ShardState.FAILED, ShardState.CANCELLED}),
    ShardState.LEASED: frozenset(
        {ShardState.DONE, ShardState.PENDING, ShardState.FAILED, ShardState.CANCELLED}
    ),
    ShardState.DONE: frozenset(),
    ShardState.FAILED: frozenset({ShardState.PENDING}),
    ShardState.CANCELLED: frozenset({ShardState.PENDING}),
}
