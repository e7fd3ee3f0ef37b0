"""Makes results from the engine's explanations."""

import numpy as np

from gfi.datasets.manifest import Entry
from gfi.domain.explanation import Explanation
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from workers.photographs import Failure, Photograph

FOIL_IS_TARGET = Failure(
    ImageStatus.ERROR,
    "its label is the class of rather_than; an image cannot be contrasted with its own class",
    "target",
)


def quarantined_row(entry: Entry, reason: str | None) -> Result:
    """The result of an image that killed its workers and is not opened again."""
    photograph = Photograph(entry, entry.version)
    return failed_row(photograph, Failure(ImageStatus.ERROR, reason or "", "killer"))


def failed_row(photograph: Photograph, failure: Failure, rank: int = 0) -> Result:
    """The result of a photograph without a mask; `rank` of the class, from 0, among those explained."""
    return Result(
        row=photograph.entry.row,
        target_rank=rank,
        key=photograph.entry.key,
        version=photograph.version,
        label=photograph.entry.label,
        columns=photograph.entry.columns,
        status=failure.status,
        error=failure.error,
        error_class=failure.error_class,
        window=photograph.window,
        repairs=photograph.repairs,
    )


def explained_row(
    photograph: Photograph, rank: int, explanation: Explanation, metrics: dict[str, float]
) -> Result:
    """The result of an explained photograph; `rank` of the class, from 0, among those explained.

    A note on its boxes is stored in the field that otherwise holds the error.
    """
    assert photograph.prepared is not None
    note = photograph.note if explanation.status == ImageStatus.OK else None
    return Result(
        row=photograph.entry.row,
        target_rank=rank,
        key=photograph.entry.key,
        version=photograph.version,
        label=photograph.entry.label,
        columns=photograph.entry.columns,
        status=ImageStatus(explanation.status),
        target=explanation.target,
        prediction=explanation.prediction,
        probability=explanation.probability,
        kept=explanation.kept,
        removed=explanation.removed,
        grid=explanation.grid if np.isfinite(explanation.grid).all() else None,
        iterations=explanation.iterations,
        original_size=photograph.prepared.original_size,
        box=photograph.prepared.box,
        error=note.text if note else None,
        error_class=note.note_class if note else None,
        window=photograph.window,
        repairs=photograph.repairs,
        area=explanation.area,
        metrics=metrics,
    )
