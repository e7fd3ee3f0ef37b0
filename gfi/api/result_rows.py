"""A result row as the API shows it, and the parameters that name one."""

from typing import Annotated, Any

from fastapi import Path, Query

from gfi.api.schemas import (
    LARGEST,
    Name,
    ResultOut,
)
from gfi.domain.digests import JSON
from gfi.store.queries import Job

Row = Annotated[int, Path(ge=0, le=LARGEST, description="The image's row in the job's manifest.")]
Method = Annotated[Name, Query(min_length=1)]
Rank = Annotated[int, Query(ge=0, le=1000)]
Size = Annotated[int, Query(ge=16, le=4096, description="Pixels of the longer side, at most.")]


def class_names(job: Job) -> list[str]:
    return (job.model or {}).get("class_names") or []


def shown(row: JSON, names: list[str]) -> dict[str, Any]:
    """A result row as the API shows it."""

    def name(index: int | None) -> str | None:
        return names[index] if index is not None and 0 <= index < len(names) else None

    return row | {
        "target_name": name(row["target"]),
        "prediction_name": name(row["prediction"]),
        "has_mask": row["part_id"] is not None and row["status"] not in ("error", "changed"),
        "picture": f"{row['part_id'] or 'none'}-{row['part_row'] or 0}",
    }


def picked(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ResultOut.model_fields}
