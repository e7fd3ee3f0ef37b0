"""The plan of a job in requests and responses."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gfi.api.job_schemas import JobIn
from gfi.jobs.submit import JobRequest

Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_OF_A_PLAN = frozenset(
    {"images", "workers", "deadline_s", "price_device_hour", "price_storage", "price_put", "price_get"}
)


class EstimateIn(JobIn):
    """The options of a job, and what to plan. Prices are in US dollars and replace those of the installation."""

    images: Annotated[int, Field(ge=0, le=10**10)] | None = Field(
        None, description="Plan for this many images instead of counting those of the dataset."
    )
    workers: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="Say the time for this many workers. Default: 1, 4, 16 and 64."
    )
    deadline_s: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Say how many workers end the job within this many seconds."
    )
    price_device_hour: Price | None = Field(None, description="Of one device with its machine for an hour.")
    price_storage: Price | None = Field(None, description="Of a GB in the bucket for a month.")
    price_put: Price | None = Field(None, description="Of a thousand PUT or LIST requests.")
    price_get: Price | None = Field(None, description="Of a thousand GET requests.")

    def prices(self) -> dict[str, float | None]:
        """The prices by their names in `gfi.domain.costs.Prices`."""
        names = ("device_hour", "storage", "put", "get")
        return {name: getattr(self, f"price_{name}") for name in names}

    def request(self, owner: str) -> JobRequest:
        """The job itself."""
        return JobIn(**self.model_dump(exclude=set(_OF_A_PLAN))).request(owner)


class SpeedOut(BaseModel):
    """Images per second of one device, between `low` and `high`, which are equal if measured.

    `source`: measured (by jobs or `gfi bench`), composed (of rates that `gfi bench` measured), scaled (from another
    preset of the network), range (never measured: from the operations of the network).
    """

    device_kind: str
    low: float
    high: float
    source: Literal["measured", "composed", "scaled", "range"]
    reason: str


class WorkersTimeOut(BaseModel):
    """The time that a job takes with so many workers, one device each."""

    workers: int
    seconds_low: float
    seconds_high: float


class EstimateOut(BaseModel):
    """The plan of a job. `complete`: every image was counted; otherwise there are at least `images`. Costs are in US
    dollars. Fields that need a rate are null where nothing is known of the network."""

    images: int
    complete: bool
    shards: int
    images_per_s: float | None = Field(
        description="Measured for this network, method and metrics; null if never measured."
    )
    device_seconds: float | None = Field(description="At the measured rate.")
    bucket_bytes: int = Field(description="Of the parts, without saved pictures.")
    forward_passes: int = Field(description="Of the network for one mask, at most, without metrics.")
    backward_passes: int
    per_device_kind: dict[str, float] = Field(description="Measured images per second by kind of device.")
    speed: SpeedOut | None = Field(description="Of the slowest kind of device: measured or estimated.")
    device_seconds_low: float | None
    device_seconds_high: float | None
    workers: list[WorkersTimeOut]
    deadline_s: float | None
    workers_for_deadline: tuple[int | None, int | None] | None = Field(
        description="Fewest workers that end in time, at the high and at the low speed; null if no number does."
    )
    picture_bytes: int
    database_bytes: int
    put_requests: int = Field(description="PUT and LIST requests.")
    get_requests: int
    request_usd: float
    storage_usd_month: float
    device_usd: tuple[float, float] | None = Field(description="Null without a price of a device.")
    worker_bytes: int | None = Field(description="Memory of one worker on the CPU; null if not known.")
    worker_batch: int = Field(description="The batch that `worker_bytes` is for.")
    notes: list[str]
