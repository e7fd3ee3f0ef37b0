"""A result row in API responses, and the parameters that name one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field, create_model

from gfi.api.schemas import LARGEST, Name
from gfi.domain.metrics import METRIC_COLUMNS
from gfi.domain.result import RESULT_COLUMNS
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow

Row = Annotated[int, Path(ge=0, le=LARGEST, description="The image's row in the job's manifest.")]
Method = Annotated[Name, Query(min_length=1)]
Rank = Annotated[int, Query(ge=0, le=1000)]
Size = Annotated[int, Query(ge=16, le=4096, description="Pixels of the longer side, at most.")]
_TYPES: Mapping[str, Any] = {
    "integer": int,
    "number": float,
    "text": str,
    "status": ImageStatus,
    "size": list[int],
    "box": list[float],
    "window": AppliedWindow,
    "sentences": list[str],
    "properties": dict[str, float],
}
"""The type of each kind of column in responses. Grids are returned as pictures only; thumbnails and features are read
from parts."""


def _fields(*stored: str) -> dict[str, Any]:
    """The fields of a response: the columns of a result that are stored there, as `Result.to_json` names them."""
    made: dict[str, Any] = {}
    for column in RESULT_COLUMNS:
        if column.stored in stored and column.kind in _TYPES:
            kind = _TYPES[column.kind]
            made[column.name] = (kind if column.required else kind | None, Field(description=column.sentence))
    return made


class FlagOn(BaseModel):
    """The flag of an image: its note, who put it, and when."""

    flag: str
    note: str
    owner: str
    at: float


class _Made(BaseModel):
    """The fields that a response adds to the columns of a result."""

    target_name: str | None = None
    prediction_name: str | None = None
    has_mask: bool
    columns: dict[str, str | float] = Field({}, description="The further columns of the manifest.")
    from_job: str | None = Field(
        None, description="The job that explained the image, if its result was carried over."
    )
    flag: FlagOn | None = Field(None, description="The flag of the image; in lists of results.")
    right: bool | None = Field(
        None, description="Whether the prediction is the class that the label names; in lists of results."
    )
    picture: str = Field(description="Changes when the result does: the `v` of picture addresses.")


if TYPE_CHECKING:

    class ResultOut(_Made):
        """The columns of a result in tables `results` and `attempts`, metrics included."""

    class GeometryOut(BaseModel):
        """The columns of a result that are stored only in its part; null if there is none."""

else:
    ResultOut = create_model(
        "ResultOut",
        __base__=_Made,
        __doc__="The result of one image. Numbers are null where they were not computed.",
        **_fields("both", "table"),
        **{column.name: (float | None, Field(description=column.sentence)) for column in METRIC_COLUMNS},
    )
    GeometryOut = create_model("GeometryOut", **_fields("part"))
