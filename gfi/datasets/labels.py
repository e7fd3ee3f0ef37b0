"""Labels as text, from the forms in which files contain them."""

import math
from typing import Any

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes

FLOAT_LABELS = "a label that is a whole number with a point (1.0) is read without it"


def label_text(value: Any, key: str, notes: ListingNotes) -> str | None:
    """The label of `key`; None if there is none. Tables with missing values in a column of numbers write 1 as 1.0 and a
    missing value as NaN.

    DatasetError: it is neither text nor a number.
    """
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is not None and not isinstance(value, str | int | float):
        raise DatasetError(f"the label {str(value)[:100]!r} is neither text nor a number")
    if isinstance(value, float) and value.is_integer():
        notes.image(FLOAT_LABELS, key)
        value = int(value)
    return None if value is None else str(value).strip() or None
