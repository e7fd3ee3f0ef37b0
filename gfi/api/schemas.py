"""Pieces that the request and response models of several resources share.

Text never contains NUL, which databases do not accept; numbers are finite and fit the columns.
"""

import base64
import json
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gfi.api.problems import Refused

LARGEST = 2**31 - 1
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(pattern=NO_NUL)]
Name = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=200)]
GateName = Annotated[Text, Field(max_length=500, description="The name of the gate file, for errors.")]
Finite = Annotated[float, Field(allow_inf_nan=False)]

Item = TypeVar("Item")


class In(BaseModel):
    """A request body. Unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _bools_are_bools(cls, values: Any) -> Any:
        """pydantic alone reads true as the number 1, and "yes" or 1 as true."""
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            kinds = set(get_args(field.annotation) or (field.annotation,)) - {type(None)}
            given = isinstance(values.get(name), bool)
            if given and bool not in kinds:
                raise ValueError(f"{name} must not be {str(values[name]).lower()}")
            if kinds == {bool} and not given and values.get(name) is not None:
                raise ValueError(f"{name} must be true or false")
        return values


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next`: the `after` of the following page, null on the last."""

    items: list[Item]
    next: str | None = None


def encode_cursor(values: Any) -> str:
    """A place in a list as an opaque string."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str, *kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The values of a cursor, one for each tuple of accepted types. Refused with 422 for any other text."""
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
        raise Refused(422, "`after` must be the `next` of a page of the same list in the same order")
    assert isinstance(values, list)
    return tuple(values)
