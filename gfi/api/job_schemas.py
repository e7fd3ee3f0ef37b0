"""A job in requests and responses: shared by the routes of jobs, comparisons, uploads and schedules."""

import math
from typing import Any

from pydantic import BaseModel, Field

from gfi.domain.job import JobOptions
from gfi.domain.methods import OWN
from gfi.domain.records import WEBHOOK
from gfi.domain.states import JobState
from gfi.jobs.submit import JobRequest, request_from
from gfi.store.queries import Job, Progress
from gfi.store.queries.progress import RATE_WINDOW_S


class JobIn(JobOptions):
    """The options of a job. The model must be registered, and the dataset below the configured roots and buckets."""

    new: bool = Field(False, strict=True, description="Start another job even while the same one is active.")

    def request(self, owner: str) -> JobRequest:
        """The request in the form that `submit` expects."""
        return request_from(**self.model_dump(exclude={"new"}) | {"owner": owner})


class ProgressOut(BaseModel):
    """The progress of a job. `rate` is the mean of the last minutes; the remaining time is between `eta_low_s` and
    `eta_high_s`."""

    done: int
    total: int | None
    finished: int
    in_flight: int
    partial: float
    by_status: dict[str, int]
    shards: dict[str, int]
    rate: float | None
    eta_s: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    elapsed_s: float

    @classmethod
    def of(cls, progress: Progress) -> "ProgressOut":
        """From the ledger's progress, with a range for the remaining time.

        A rate counted over n images is uncertain by a factor of about e^(1/√n). A factor, not a difference, because the
        first steps of a network are slow: 468 s were predicted for a job that took 50 s.
        """
        low = high = None
        if progress.eta_s is not None:
            seen = progress.done + progress.finished + progress.partial
            seen = min(seen, (progress.rate or 0.0) * RATE_WINDOW_S)  # the mean rate of the last minutes
            factor = math.exp(0.05 + max(0.25, seen) ** -0.5)
            low, high = progress.eta_s / factor, progress.eta_s * factor
        values = progress.to_json()
        return cls(
            **{k: v for k, v in values.items() if k in cls.model_fields}, eta_low_s=low, eta_high_s=high
        )


class JobOut(BaseModel):
    """A job in lists."""

    id: str
    name: str
    owner: str
    queue: str
    priority: int
    state: JobState
    shown_state: str
    paused: bool
    dataset: str
    model: str
    method: str
    preset: str
    config_digest: str
    tags: list[str]
    total: int | None
    error: str | None
    since: str | None = Field(description="The earlier job from which results are carried over.")
    explained: int | None = Field(description="Images that it explains itself; null without `since`.")
    carried: int | None = Field(description="Images whose results were carried over.")
    removed: int | None = Field(description="Images of the earlier job that the dataset no longer has.")
    generation: int
    created_at: float
    planned_at: float | None
    finished_at: float | None
    progress: ProgressOut

    @classmethod
    def of(cls, job: Job, progress: Progress) -> "JobOut":
        """From a job of the ledger and its progress."""
        config = job.stored_config
        return cls(
            **{name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
            | {
                "tags": job.tags or [],
                "since": (job.since or {}).get("job"),
                "dataset": _at(config, "dataset", "spec"),
                "model": _at(config, "model", "reference"),
                "method": str(config.get("method", OWN)),
                "preset": str(config.get("preset", "")),
                "progress": ProgressOut.of(progress),
            }
        )


class JobDetail(JobOut):
    """A job with its provenance: `config` is its frozen configuration, `config_digest` the SHA-256 of that.

    `waits`: why the job makes no progress, null while it does.
    """

    config: dict[str, Any]
    model_digest: str
    profile: dict[str, Any] | None
    device_kind: str | None
    manifest_digest: str | None
    listing_digest: str | None
    facts: dict[str, Any] | None
    warnings: list[str]
    has_webhook: bool = False
    waits: str | None = None

    @classmethod
    def whole(cls, job: Job, progress: Progress, waits: str | None) -> "JobDetail":
        """From a job of the ledger and its progress. waits: see `why_waiting`."""
        return cls(
            **JobOut.of(job, progress).model_dump(),
            config=job.stored_config,
            model_digest=_at(job.stored_config, "model", "digest"),
            profile=job.profile,
            device_kind=job.device_kind,
            manifest_digest=job.manifest_digest,
            listing_digest=job.listing_digest,
            facts=job.metadata,
            warnings=[str(warning) for warning in (job.metadata or {}).get("warnings", [])],
            has_webhook=any(target["channel"] == WEBHOOK for target in job.notify or ()),
            waits=waits,
        )


def _at(config: dict[str, Any], *names: str) -> str:
    value: Any = config
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else str(value)


class SubmittedOut(BaseModel):
    """The answer to a submission. `created` is false when the job existed already; `reason` says why."""

    job: JobDetail
    created: bool
    reason: str


class ChangeOut(BaseModel):
    """The result of a change. `changed` is false when the job was in this state already."""

    job: str
    changed: bool
    state: str
