"""What comes in and goes out of the API, as pydantic models; the OpenAPI document is made of them.

Text never contains NUL (no database takes it), numbers are finite and within what the columns hold.
"""

import base64
import json
import math
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gfi.api.problems import Refused
from gfi.domain.states import JobState, ShardState
from gfi.domain.statuses import ImageStatus
from gfi.jobs.submit import MOST_TOP, JobRequest, request_from
from gfi.report.colours import MAPS
from gfi.store.queries import SORTABLE, Job, Progress
from gfi.store.queries.jobs import RATE_WINDOW_S

LARGEST = 2**31 - 1
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(pattern=NO_NUL)]
Name = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Row = Annotated[int, Field(ge=0, le=LARGEST)]

Sort = StrEnum("Sort", {name.upper(): name for name in SORTABLE})  # type: ignore[misc]
ColourMap = StrEnum("ColourMap", {name.upper(): name for name in ("grey", *MAPS)})  # type: ignore[misc]

Item = TypeVar("Item")


class In(BaseModel):
    """A body: unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Page(BaseModel, Generic[Item]):
    """Items and, when there may be more, the `after` of the next page."""

    items: list[Item]
    next: str | None = None


class JobIn(In):
    """A job as a caller words it. Only registered models; datasets below the configured roots and buckets."""

    dataset: Annotated[Text, Field(min_length=1, max_length=4096, examples=["/data/photographs"])]
    model: Annotated[Text, Field(min_length=1, max_length=256)] = "efficientnet-lite0"
    preset: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="`paper`, `released` or `tuned`; null takes the model's default."
    )
    overrides: dict[Annotated[Text, Field(max_length=64)], bool | int | Finite | Name] = Field(
        default_factory=dict, max_length=32, description="Single fields of the preset's recipe."
    )
    layers: Annotated[Text, Field(max_length=4096)] | None = Field(
        None, description="`L0,L1` in place of the preset's."
    )
    target: Name | Annotated[int, Field(ge=0, le=LARGEST)] = Field(
        "auto",
        description="`auto` (the label where it is a class, else the predicted class), `predicted`, or a class.",
    )
    rather_than: Name | Annotated[int, Field(ge=0, le=LARGEST)] | None = Field(
        None, description="Another class: why the target rather than this one."
    )
    top: Annotated[int, Field(ge=1, le=MOST_TOP)] = Field(
        1, description="Explain so many of the most probable classes, each a result with its `target_rank`."
    )
    metrics: list[Name] = Field(default_factory=list, max_length=16)
    save: list[Literal["png", "overlay", "npy"]] | None = Field(None, max_length=3)
    name: Name = ""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    queue: Literal["explain", "interactive"] = "explain"
    batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    new: bool = Field(False, description="Start another job even while the same one is active.")
    webhook: Annotated[Text, Field(max_length=2048)] | None = Field(
        None, description="Told when the job ends; an allow-listed host."
    )

    def request(self, owner: str) -> JobRequest:
        """As the submission takes it."""
        fields = self.model_dump(exclude={"new"})
        return request_from(**fields | {"owner": owner})


class ProgressOut(BaseModel):
    """How far a job is. `rate` is of the last minutes; `eta_low_s`, `eta_high_s` are an honest range."""

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
        """From the ledger's, with a range: a rate counted over n images is uncertain by a factor of about e^(1/√n).

        A factor, for the first steps warm up a network: 468 s were left of a job that took 50 s.
        """
        low = high = None
        if progress.eta_s is not None:
            seen = progress.done + progress.finished + progress.partial
            seen = min(seen, (progress.rate or 0.0) * RATE_WINDOW_S)  # the rate is of the last minutes
            doubt = math.exp(0.05 + max(0.25, seen) ** -0.5)
            low, high = progress.eta_s / doubt, progress.eta_s * doubt
        values = progress.to_json()
        return cls(
            **{k: v for k, v in values.items() if k in cls.model_fields}, eta_low_s=low, eta_high_s=high
        )


class JobOut(BaseModel):
    """A job in a list."""

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
    preset: str
    config_digest: str
    total: int | None
    error: str | None
    generation: int
    created_at: float
    planned_at: float | None
    finished_at: float | None
    progress: ProgressOut

    @classmethod
    def of(cls, job: Job, progress: Progress) -> "JobOut":
        """From the ledger's."""
        config = job.config
        return cls(
            **{name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
            | {
                "dataset": _at(config, "dataset", "spec"),
                "model": _at(config, "model", "reference"),
                "preset": str(config.get("preset", "")),
                "progress": ProgressOut.of(progress),
            }
        )


class JobDetail(JobOut):
    """A job with its provenance: `config` is frozen, `config_digest` its SHA-256."""

    config: dict[str, Any]
    model_digest: str
    profile: dict[str, Any] | None
    device_kind: str | None
    manifest_digest: str | None
    listing_digest: str | None
    facts: dict[str, Any] | None
    warnings: list[str]
    has_webhook: bool = False

    @classmethod
    def whole(cls, job: Job, progress: Progress, has_webhook: bool) -> "JobDetail":
        """From the ledger's."""
        return cls(
            **JobOut.of(job, progress).model_dump(),
            config=job.config,
            model_digest=_at(job.config, "model", "digest"),
            profile=job.profile,
            device_kind=job.device_kind,
            manifest_digest=job.manifest_digest,
            listing_digest=job.listing_digest,
            facts=job.facts,
            warnings=[str(each) for each in (job.facts or {}).get("warnings", [])],
            has_webhook=has_webhook,
        )


def _at(config: dict[str, Any], *names: str) -> str:
    value: Any = config
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else str(value)


class SubmittedOut(BaseModel):
    """The answer to a submission. `created` is false when the job was there already; `reason` says why."""

    job: JobDetail
    created: bool
    reason: str


class ValidOut(BaseModel):
    """A submission that would be accepted: the configuration as it would be frozen, and its digest."""

    valid: Literal[True] = True
    config: dict[str, Any]
    config_digest: str


class EstimateOut(BaseModel):
    """What a job would cost. `complete`: every image was counted; else there are at least so many."""

    images: int
    complete: bool
    shards: int
    images_per_s: float | None = Field(
        description="Measured earlier for this network and method; null when never."
    )
    device_seconds: float | None
    bucket_bytes: int
    per_device_kind: dict[str, float] = Field(description="Images per second by kind of device.")


class ResultOut(BaseModel):
    """What came of one image. Numbers are null where they were not computed."""

    job_id: str
    row: int
    method: str
    target_rank: int
    key: str
    status: ImageStatus
    error: str | None
    error_class: str | None
    version: str | None
    label: str | None
    target: int | None
    target_name: str | None = None
    prediction: int | None
    prediction_name: str | None = None
    probability: float | None
    kept: float | None
    removed: float | None
    iterations: int | None
    area: float | None
    deletion: float | None
    insertion: float | None
    average_drop: float | None
    energy_in_box: float | None
    pointing_hit: float | None
    pointing_hit_0: float | None
    entropy: float | None
    has_mask: bool
    picture: str = Field(description="Changes when the result does: for `?v=` of picture addresses.")
    created_at: float


class ExplanationOut(ResultOut):
    """One explanation with its geometry and what made it."""

    original_size: list[int] | None = Field(description="[H, W] of the photograph after EXIF orientation.")
    box: list[float] | None = Field(
        description="What the network saw: left, top, right, bottom, original pixels."
    )
    grid_size: list[int] | None
    input_size: list[int] | None
    shard_id: str
    fence: int
    part_key: str | None
    part_sha256: str | None
    made_by: dict[str, Any] | None = Field(
        description="Model and method digests, recipe, layers, profile and code version, from the part."
    )
    earlier: list[dict[str, Any]] = Field(description="What this result replaced, oldest first.")


class ShardOut(BaseModel):
    """A stretch [start, stop) of a manifest."""

    id: str
    generation: int
    start: int
    stop: int
    state: ShardState
    fence: int
    worker: str | None
    leased_at: float | None
    lease_until: float | None
    step: int | None
    finished: int
    reason: str | None
    failure_class: str | None
    done_at: float | None
    images: dict[str, int]


class FailureOut(BaseModel):
    """Images that have no usable result, by class."""

    status: str
    error_class: str | None
    images: int
    example_row: int | None
    example: str | None


class ComparisonIn(In):
    """The method to compare a job with."""

    method: Literal["paper", "released", "tuned", "grad-cam"]


class ComparisonOut(BaseModel):
    """A method a job can be compared with. `job`: who explains the same images with it, null: nobody yet; `own`: it
    is the job's own; `reason`: why it cannot be asked for.
    """

    method: str
    own: bool
    reason: str | None
    job: JobOut | None


class ComparisonsOut(BaseModel):
    """What can stand beside a job in its gallery: methods, and other jobs over its dataset, newest first."""

    methods: list[ComparisonOut]
    jobs: list[JobOut]


class RetryIn(In):
    """Which images are tried again: those with one of these statuses."""

    statuses: list[ImageStatus] = Field(
        default_factory=lambda: [ImageStatus.ERROR, ImageStatus.CHANGED], min_length=1, max_length=9
    )


class PriorityIn(In):
    """Higher first."""

    priority: int = Field(ge=-100, le=100)


class FlagIn(In):
    """A mark on one image."""

    flag: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "look"
    note: Annotated[Text, Field(max_length=4000)] = ""


class FlagOut(BaseModel):
    """A flagged image."""

    row: int
    key: str | None
    flag: str
    note: str
    owner: str
    at: float


class ChangeOut(BaseModel):
    """What a change came to. `changed` is false when it had been so already."""

    job: str
    changed: bool
    state: str


def encode_cursor(values: Any) -> str:
    """A place in a list as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str, *kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The values of a cursor, of these kinds. Refused when it is none of ours."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (ValueError, RecursionError):
        values = None
    fits = (
        isinstance(values, list)
        and len(values) == len(kinds)
        and all(
            isinstance(value, kind)
            and not isinstance(value, bool)
            and (not isinstance(value, int) or abs(value) <= LARGEST)
            and (not isinstance(value, str) or "\0" not in value)
            for value, kind in zip(values, kinds, strict=True)
        )
    )
    if not fits:
        raise Refused(422, "`after` is not the `next` of a page of this list with the same order")
    assert isinstance(values, list)
    return tuple(values)
