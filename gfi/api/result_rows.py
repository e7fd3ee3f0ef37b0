"""A result row as the API shows it, and the parameters that name one."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field, create_model

from gfi.api.schemas import LARGEST, Name
from gfi.domain.digests import JSON
from gfi.domain.metrics import METRIC_COLUMNS
from gfi.domain.statuses import ImageStatus
from gfi.store.queries import Job

Row = Annotated[int, Path(ge=0, le=LARGEST, description="The image's row in the job's manifest.")]
Method = Annotated[Name, Query(min_length=1)]
Rank = Annotated[int, Query(ge=0, le=1000)]
Size = Annotated[int, Query(ge=16, le=4096, description="Pixels of the longer side, at most.")]
_WITHOUT_MASK = (ImageStatus.ERROR, ImageStatus.CHANGED)


class _Result(BaseModel):
    """The result of one image. Numbers are null where they were not computed."""

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
    has_mask: bool
    picture: str = Field(description="Changes when the result does: the `v` of picture addresses.")
    created_at: float


if TYPE_CHECKING:

    class ResultOut(_Result):
        """A result with a field for every metric column of the catalogue."""

else:
    ResultOut = create_model(
        "ResultOut",
        __base__=_Result,
        __doc__=_Result.__doc__,
        **{column.name: (float | None, Field(description=column.sentence)) for column in METRIC_COLUMNS},
    )


def class_names(job: Job) -> list[str]:
    """The class names of a job's model, by index; empty when the model has none."""
    return (job.model or {}).get("class_names") or []


def result_fields(row: JSON, names: list[str]) -> dict[str, Any]:
    """The fields of `ResultOut` for a result row. names: of the model's classes."""

    def name(index: int | None) -> str | None:
        return names[index] if index is not None and 0 <= index < len(names) else None

    fields = row | {
        "target_name": name(row["target"]),
        "prediction_name": name(row["prediction"]),
        "has_mask": row["part_id"] is not None and row["status"] not in _WITHOUT_MASK,
        "picture": f"{row['part_id'] or 'none'}-{row['part_row'] or 0}",
    }
    return {name: fields.get(name) for name in ResultOut.model_fields}
