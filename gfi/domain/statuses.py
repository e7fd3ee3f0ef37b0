"""The statuses of an image: the stored word, the words that are shown, and the severity."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class ImageStatus(StrEnum):
    """The outcome of one image. Images that are not `ok` are counted and shown, and left out of means."""

    OK = "ok"
    EMPTY = "empty"
    """Every channel weight became zero; the mask of the last step before is kept."""
    FULL = "full"
    """The mask keeps nearly everything."""
    CONSTANT = "constant"
    """The mask has no contrast: there is nothing to normalise."""
    NONFINITE = "nonfinite"
    """The network returned NaN or infinity."""
    TARGET_LOST = "target_lost"
    """The mask holds the target no better than copies of it elsewhere in the image do."""
    NOT_SETTLED = "not_settled"
    """The mask was still moving at the last step."""
    CHANGED = "changed"
    """The bytes read are not the version the manifest lists."""
    ERROR = "error"
    """Unreadable, missing, or it killed its workers; `error` says which."""


@dataclass(frozen=True)
class StatusWords:
    """How a status is shown.

    severity: `ok`, explained; `note`, there is a mask but it explains little; `bad`, there is no usable result.
    """

    title: str
    meaning: str
    severity: Literal["ok", "note", "bad"]


STATUS_WORDS: Mapping[ImageStatus, StatusWords] = {
    ImageStatus.OK: StatusWords(
        "Explained", "The optimiser ended with a mask, and none of the other statuses applies.", "ok"
    ),
    ImageStatus.NOT_SETTLED: StatusWords(
        "Not settled", "The mask was still moving when the schedule ended.", "note"
    ),
    ImageStatus.TARGET_LOST: StatusWords(
        "Target lost", "The mask holds the target no better than copies of it elsewhere in the image.", "note"
    ),
    ImageStatus.EMPTY: StatusWords(
        "Empty mask", "Every channel weight reached zero: nothing is marked.", "note"
    ),
    ImageStatus.FULL: StatusWords("Full mask", "Everything is marked, so nothing is explained.", "note"),
    ImageStatus.CONSTANT: StatusWords(
        "Constant mask", "The features do not vary over the image: there is nothing to show.", "note"
    ),
    ImageStatus.NONFINITE: StatusWords(
        "Not finite", "The network or the optimiser returned infinities or not-a-number.", "bad"
    ),
    ImageStatus.CHANGED: StatusWords(
        "File changed", "The bytes are not those that were listed when the job began.", "bad"
    ),
    ImageStatus.ERROR: StatusWords("Error", "The photograph could not be read or explained.", "bad"),
}
"""Every status, in the order in which they are shown."""

UNUSABLE = frozenset({ImageStatus.ERROR, ImageStatus.CHANGED})
"""Statuses without a usable result: a retry explains these images again."""
