"""Labels as text, from the forms in which files contain them."""

import math
from collections.abc import Iterable
from typing import Any

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes

FLOAT_LABELS = "a label that is a whole number with a point (1.0) is read without it"
MOST_LABELS = 64
"""Labels of one image."""
MANY_LABELS = f"of more than {MOST_LABELS} labels of an image the first are read"
SEPARATOR = ";"
"""Between the labels of an image that are written as one text."""

Labels = tuple[str | None, tuple[str, ...]]
"""The label of an image and (), or None and its several labels; (None, ()) for an image without any."""


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


def label_texts(value: Any, key: str, notes: ListingNotes) -> Labels:
    """The label or the labels of `key`: a text or number, texts with `;` between them, or a list. DatasetError as
    `label_text`."""
    if isinstance(value, str):
        value = value.split(SEPARATOR)
    if isinstance(value, list):
        return labels_of((label_text(one, key, notes) for one in value), key, notes)
    return label_text(value, key, notes), ()


def labels_of(labels: Iterable[str | None], key: str, notes: ListingNotes) -> Labels:
    """The labels of `key`, each once in their order."""
    distinct = [label for label in dict.fromkeys(labels) if label is not None]
    if len(distinct) > MOST_LABELS:
        notes.image(MANY_LABELS, key)
    return (distinct[0], ()) if len(distinct) == 1 else (None, tuple(distinct[:MOST_LABELS]))
