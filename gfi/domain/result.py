"""The result of one image: one class for workers, parts, the ledger and the API.

    worker → `gfi.store.parts` (a Parquet file) → tables `results` and `attempts` → API, report, `gfi results`

The fields of `Result` are the only list of a result's columns: the columns of parts
(`gfi.store.parts`), those of the tables (`gfi.store.tables`) and the fields of the API (`gfi.api.result_rows`) are made
from it. Each field says what kind of value it has and where it is stored. Loads neither torch nor numpy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from gfi.domain.digests import JSON
from gfi.domain.metrics import METRICS, PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal[
    "integer",
    "number",
    "text",
    "status",
    "metrics",
    "size",
    "box",
    "grid",
    "window",
    "sentences",
    "columns",
    "properties",
    "picture",
    "vector",
]
"""What a column holds. properties: numbers by the names of `gfi.domain.pixel_properties`, stored in one column each.
columns: the further columns of the manifest, by name, stored in a table of their own. metrics:
numbers by the names of the catalogue, stored in one column each and in JSON."""
Stored = Literal["both", "part", "table", "attempts"]
"""Where a column is stored: in parts and tables, only in parts, only in tables, or only in the table of earlier
results."""


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result. sentence: its description for users. required: it always has a value."""

    name: str
    kind: Kind
    stored: Stored
    sentence: str
    required: bool


def _is(kind: Kind, sentence: str, stored: Stored = "both", required: bool = False) -> dict[str, Any]:
    """The metadata of a field of `Result`."""
    return {"kind": kind, "sentence": sentence, "stored": stored, "required": required}


@dataclass(frozen=True)
class Result:
    """The result of one image for one method and class. Probabilities are in [0, 1]."""

    row: int = field(metadata=_is("integer", "The image's row in the job's manifest.", required=True))
    key: str = field(metadata=_is("text", "The image's key in its dataset.", required=True))
    status: ImageStatus = field(metadata=_is("status", "How far the mask can be relied on.", required=True))
    method: str = field(
        default=PRIMARY_METHOD,
        metadata=_is(
            "text", "`gfi` for the results of the job's own method, which the job names.", required=True
        ),
    )
    target_rank: int = field(
        default=0,
        metadata=_is("integer", "The rank of the class among those explained, from 0.", required=True),
    )
    version: str | None = field(
        default=None, metadata=_is("text", "The version of the bytes that were read.")
    )
    label: str | None = field(default=None, metadata=_is("text", "The image's label."))
    target: int | None = field(default=None, metadata=_is("integer", "The class explained."))
    prediction: int | None = field(
        default=None, metadata=_is("integer", "The class that the network predicts.")
    )
    probability: float | None = field(
        default=None, metadata=_is("number", "Probability of the target on the whole image.")
    )
    kept: float | None = field(
        default=None, metadata=_is("number", "Probability of the target if only the marked part is kept.")
    )
    removed: float | None = field(
        default=None, metadata=_is("number", "Probability of the target if the marked part is removed.")
    )
    error: str | None = field(
        default=None, metadata=_is("text", "Why there is no mask, or what was done to the image's boxes.")
    )
    error_class: str | None = field(
        default=None, metadata=_is("text", "The kind of error as one word, for grouping.")
    )
    iterations: int | None = field(default=None, metadata=_is("integer", "Steps of the optimiser."))
    area: float | None = field(
        default=None, metadata=_is("number", "Share of the input that the mask covers.")
    )
    original_size: tuple[int, int] | None = field(
        default=None, metadata=_is("size", "[H, W] of the photograph after EXIF orientation.", "part")
    )
    box: tuple[float, float, float, float] | None = field(
        default=None,
        metadata=_is("box", "What the network saw: left, top, right, bottom, original pixels.", "part"),
    )
    grid: "NDArray[np.float32] | None" = field(
        default=None,
        repr=False,
        compare=False,
        metadata=_is("grid", "The mask (h, w) in [0, 1], before it is drawn.", "part"),
    )
    window: AppliedWindow | None = field(
        default=None,
        metadata=_is(
            "window", "Which values of samples with more than 8 bits became black and white.", "part"
        ),
    )
    repairs: tuple[str, ...] = field(
        default=(), metadata=_is("sentences", "What was repaired in the image's boxes.", "part")
    )
    columns: Mapping[str, str | float] = field(
        default_factory=dict,
        metadata=_is("columns", "The further columns of the manifest.", "part"),
    )
    pixels: Mapping[str, float] = field(
        default_factory=dict,
        metadata=_is("properties", "Properties of the whole photograph, with its first class only.", "part"),
    )
    thumbnail: bytes | None = field(
        default=None,
        repr=False,
        metadata=_is("picture", "The photograph as a JPEG of 64 pixels, with its first class only.", "part"),
    )
    features: "NDArray[np.float16] | None" = field(
        default=None,
        repr=False,
        compare=False,
        metadata=_is(
            "vector", "The network's pooled features, mostly projected, with the first class only.", "part"
        ),
    )
    metrics: Mapping[str, float] = field(
        default_factory=dict, metadata=_is("metrics", "The metrics, by column.")
    )
    job_id: str | None = field(default=None, metadata=_is("text", "The job.", "table", required=True))
    part_id: str | None = field(default=None, metadata=_is("text", "The part that holds the mask.", "table"))
    part_row: int | None = field(default=None, metadata=_is("integer", "Its place in that part.", "table"))
    shard_id: str | None = field(
        default=None, metadata=_is("text", "The shard that committed it.", "table", required=True)
    )
    fence: int | None = field(
        default=None, metadata=_is("integer", "The fence of that commit.", "table", required=True)
    )
    created_at: float | None = field(
        default=None,
        metadata=_is("number", "When it was committed: seconds since 1970.", "table", required=True),
    )
    attempt: int | None = field(
        default=None,
        metadata=_is(
            "integer",
            "For a replaced result: its number among the results of its image.",
            "attempts",
            required=True,
        ),
    )
    from_job: str | None = None
    """The job that explained the image, for a result that was carried over."""

    @property
    def has_mask(self) -> bool:
        """Whether its part holds a mask."""
        return self.part_id is not None and self.status not in (ImageStatus.ERROR, ImageStatus.CHANGED)

    @property
    def picture(self) -> str:
        """An identifier that changes with the result, used as the cache key of its pictures."""
        return f"{self.part_id or 'none'}-{self.part_row or 0}"

    @property
    def primary(self) -> bool:
        """Whether the image is counted by this result; each image has exactly one such result."""
        return self.method == PRIMARY_METHOD and self.target_rank == 0

    def box_at(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The rectangle that the network saw, in pixels of the photograph drawn at `size` (H, W).

        The whole photograph if the part does not record it.
        """
        from gfi.domain.geometry import scaled, whole  # loads numpy

        if self.box is None or self.original_size is None:
            return whole(size)
        return scaled(self.box, self.original_size, size)

    def number(self, name: str) -> float | None:
        """A number by its column, which may be a metric; None if the result does not have it."""
        value: float | None = self.metrics.get(name) if name in METRICS else getattr(self, name)
        return value

    def to_table(self) -> JSON:
        """The values for table `results`; NaN and infinities become null.

        Raises ValueError for a metric that the catalogue does not have.
        """
        if unknown := set(self.metrics) - set(METRICS):
            raise ValueError(f"no column for metric {sorted(unknown)[0]!r}; there are {', '.join(METRICS)}")
        values = {
            column.name: getattr(self, column.name) for column in TABLE_COLUMNS if column.kind != "metrics"
        }
        values |= {name: self.metrics.get(name) for name in METRICS} | {"status": self.status.value}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }

    @classmethod
    def from_table(cls, values: Mapping[str, Any]) -> "Result":
        """A row of table `results` or `attempts`."""
        return cls(
            **{name: values[name] for name in _OWN if name in values}
            | {
                "status": ImageStatus(values["status"]),
                "metrics": {name: values[name] for name in METRICS if values[name] is not None},
            }
        )

    def to_json(self, class_names: Sequence[str] = ()) -> JSON:
        """The result as the API returns it. class_names: of the model, by index."""

        def name(index: int | None) -> str | None:
            return class_names[index] if index is not None and 0 <= index < len(class_names) else None

        return self.to_table() | {
            "columns": dict(self.columns),
            "from_job": self.from_job,
            "target_name": name(self.target),
            "prediction_name": name(self.prediction),
            "has_mask": self.has_mask,
            "picture": self.picture,
        }


RESULT_COLUMNS: tuple[ResultColumn, ...] = tuple(
    ResultColumn(name=one.name, **one.metadata) for one in fields(Result) if one.metadata
)
"""The columns of a result, in order."""
PART_COLUMNS = tuple(column for column in RESULT_COLUMNS if column.stored in ("both", "part"))
TABLE_COLUMNS = tuple(column for column in RESULT_COLUMNS if column.stored in ("both", "table"))
_OWN = tuple(
    column.name
    for column in RESULT_COLUMNS
    if column.stored != "part" and column.kind not in ("metrics", "status")
)
