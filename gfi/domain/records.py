"""Frozen records that the ledger takes and returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig
from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.states import ControlKind, JobState

WEBHOOK = "webhook"
"""The channel that posts to a URL, its address."""
EMAIL = "email"
"""The channel that sends e-mails."""


@dataclass(frozen=True)
class NotifyTarget:
    """An address that is notified, and the channel it belongs to."""

    channel: str
    address: str


@dataclass(frozen=True)
class JobSpec:
    """A job that is to be submitted. `config` is its frozen configuration: everything that decides its results."""

    config: JSON
    name: str = ""
    owner: str = ""
    queue: str = EXPLAIN_QUEUE
    routed: bool = False  # another queue was asked for: this one has the memory, and the planner chooses anew
    priority: int = 0  # higher first
    idempotency_key: str | None = None
    listing_digest: str | None = None  # the digest of the dataset's listing, if it is known before planning
    model: JSON | None = None  # the record of the registered model
    new: bool = False  # submit it even if a job with the same configuration is active
    notify: tuple[NotifyTarget, ...] = ()  # of its end; the addresses are checked
    tags: tuple[str, ...] = ()
    since: JSON | None = (
        None  # {job, verify, allow_shrunk}: the job whose results are carried over where they hold
    )


@dataclass(frozen=True)
class Submitted:
    """The result of a submission: `created` is False when the job `job_id` exists already; `reason` says why."""

    job_id: str
    created: bool
    reason: str = ""


@dataclass(frozen=True)
class Hint:
    """A message to publish: there is work on `queue`, preferably `id`. Only the database decides what is claimed.

    task: `id` is that of a task, not of a shard.
    """

    queue: str
    id: str
    job_id: str | None
    task: bool = False


@dataclass(frozen=True)
class ControlClaim:
    """A task, held by `worker` under `fence`. progress: what an earlier attempt saved."""

    task_id: str
    kind: ControlKind | str
    job_id: str | None
    payload: JSON
    fence: int
    worker: str
    attempt: int  # 1 for the first
    owner: str = ""
    priority: int = 0
    progress: JSON | None = None
    stored_config: JSON | None = None  # the job's
    model: JSON | None = None
    generation: int = 0

    @property
    def name(self) -> str:
        """Names the files that this claim writes: no other claim has it."""
        return f"{self.task_id}-{self.fence}"

    @cached_property
    def config(self) -> JobConfig:
        """The configuration of the task's job. ValueError for a task without one."""
        if self.stored_config is None:
            raise ValueError(f"task {self.task_id} belongs to no job")
        return JobConfig.from_json(self.stored_config)


@dataclass(frozen=True)
class ShardClaim:
    """A shard, the stretch [start, stop) of a manifest, held by `worker` under `fence`.

    `isolated`: it has one image, which may have killed its worker: the lease must be renewed with the image
    in flight before the image is read. `quarantined`: the image killed its workers; it must be recorded as
    `error` with this text and never be read. `unexplained`: workers that died with this shard while none of its images
    was in flight.
    """

    job_id: str
    shard_id: str
    start: int
    stop: int
    manifest_key: str
    fence: int
    worker: str
    isolated: bool
    quarantined: str | None
    generation: int
    stored_config: JSON = field(repr=False)
    model: JSON | None = field(repr=False)
    profile: JSON | None = field(repr=False)
    manifest_digest: str | None = None  # SHA-256 of the job's own manifest; a retry's has none
    unexplained: int = 0

    @cached_property
    def config(self) -> JobConfig:
        """The configuration of the shard's job."""
        return JobConfig.from_json(self.stored_config)


@dataclass(frozen=True)
class LeaseAnswer:
    """`held`: the worker still holds the lease. `wanted`: the state that the owner of the job requested."""

    held: bool
    wanted: Literal["continue", "pause", "cancel"]


@dataclass(frozen=True)
class PartRecord:
    """The uploaded result file of a shard."""

    id: str
    key: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class CommittedPart:
    """A part that a commit recorded, and the positions [start, stop) of the manifest whose results it has."""

    id: str
    job_id: str
    shard_id: str
    fence: int
    key: str
    sha256: str
    bytes: int
    rows: int
    manifest_key: str
    start: int
    stop: int
    created_at: float


@dataclass(frozen=True)
class Expired:
    """A lease that ran out, and what happened to its shard."""

    job_id: str
    shard_id: str
    fence: int
    worker: str | None
    outcome: Literal["returned", "split", "quarantined", "cancelled"]
    suspects: Sequence[int] = ()


@dataclass(frozen=True)
class Finished:
    """A job that has just ended."""

    job_id: str
    state: JobState


@dataclass(frozen=True)
class Retried:
    """A retry that has begun: a control worker collects the rows with these statuses."""

    job_id: str
    state: JobState
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class Deleted:
    """A job whose rows were removed. The objects under these prefixes of the bucket can be deleted."""

    job_id: str
    prefixes: tuple[str, ...]
