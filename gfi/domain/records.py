"""What the ledger takes and gives, as frozen records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig
from gfi.domain.metrics import METRICS, PRIMARY_METHOD
from gfi.domain.states import ControlKind, JobState
from gfi.domain.statuses import ImageStatus

WEBHOOK = "webhook"
"""The channel whose addresses are URLs that are posted to."""


@dataclass(frozen=True)
class NotifyTarget:
    """Who is told: an address on a channel."""

    channel: str
    address: str


@dataclass(frozen=True)
class JobSpec:
    """A job as it is asked for. `config` is frozen with it: everything that decides what comes out."""

    config: JSON
    name: str = ""
    owner: str = ""
    queue: str = "explain"
    priority: int = 0  # higher first
    idempotency_key: str | None = None
    listing_digest: str | None = None  # of the data set's listing, when it is known before planning
    model: JSON | None = None  # the classifier's record, when it is registered
    new: bool = False  # start another even while the same one is active
    notify: tuple[NotifyTarget, ...] = ()  # told when it ends; addresses that were checked
    tags: tuple[str, ...] = ()

    def to_json(self) -> JSON:
        """As a schedule keeps it."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "JobSpec":
        """The spec a schedule kept."""
        return cls(**value)


@dataclass(frozen=True)
class Submitted:
    """The answer to a submission: `created` is False when `job_id` was there already; `reason` says why."""

    job_id: str
    created: bool
    reason: str = ""


@dataclass(frozen=True)
class Hint:
    """A message to publish: there is work on `queue`, preferably `id`. The row is the truth."""

    queue: str
    id: str
    job_id: str | None


@dataclass(frozen=True)
class ControlClaim:
    """A control task, held by `worker` under `fence`."""

    task_id: str
    kind: ControlKind
    job_id: str | None
    payload: JSON
    fence: int
    worker: str
    attempt: int  # 1 for the first
    stored_config: JSON | None = None  # the job's
    model: JSON | None = None
    generation: int = 0

    @cached_property
    def config(self) -> JobConfig:
        """The configuration of the task's job. ValueError for a task without one."""
        if self.stored_config is None:
            raise ValueError(f"task {self.task_id} belongs to no job")
        return JobConfig.from_json(self.stored_config)


@dataclass(frozen=True)
class ShardClaim:
    """A stretch [start, stop) of a manifest, held by `worker` under `fence`.

    `isolated`: one image, suspected of killing its worker: renew with it in flight before touching it.
    `quarantined`: it killed its workers; record it as `error` with this text, never open it.
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

    @cached_property
    def config(self) -> JobConfig:
        """The configuration of the shard's job."""
        return JobConfig.from_json(self.stored_config)


@dataclass(frozen=True)
class LeaseAnswer:
    """`held`: the shard is still this worker's. `wanted`: what the job's owner wants done with it."""

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
    """A part that a commit recorded: which rows of which manifest it holds."""

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
class ResultRecord:
    """What came of one image under one method and target, as columns. Probabilities in [0, 1]."""

    row: int  # the image's row in the job's own manifest
    key: str
    status: ImageStatus
    method: str = PRIMARY_METHOD
    target_rank: int = 0
    error: str | None = None
    error_class: str | None = None  # a short word to group by: unreadable, missing, changed, killer
    version: str | None = None
    label: str | None = None
    target: int | None = None
    prediction: int | None = None
    probability: float | None = None
    kept: float | None = None
    removed: float | None = None
    iterations: int | None = None
    area: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    part_row: int | None = None

    def columns(self) -> JSON:
        """The columns of table `results` this record fills; NaN and infinities become null."""
        values = {k: v for k, v in self.__dict__.items() if k != "metrics"}
        unknown = set(self.metrics) - set(METRICS)
        if unknown:
            raise ValueError(f"no column for metric {sorted(unknown)[0]!r}; there are {', '.join(METRICS)}")
        values |= {name: self.metrics.get(name) for name in METRICS}
        values["status"] = self.status.value
        for name in ("probability", "kept", "removed", "area", *METRICS):
            number = values[name]
            values[name] = float(number) if number is not None and math.isfinite(number) else None
        return values


@dataclass(frozen=True)
class Expired:
    """A lease that ran out: what became of the shard."""

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
    """A retry under way: a control worker collects the rows with these statuses."""

    job_id: str
    state: JobState
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class Deleted:
    """A job whose rows are gone; the objects under these prefixes are nobody's now."""

    job_id: str
    prefixes: tuple[str, ...]
