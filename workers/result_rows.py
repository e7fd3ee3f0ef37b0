"""Makes results from the engine's explanations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.manifest import Entry
from gfi.domain.explanation import Explanation
from gfi.domain.job import Features
from gfi.domain.projection import as_half, projected
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from workers.photographs import Failure, Photograph

FOIL_IS_TARGET = Failure(
    ImageStatus.ERROR,
    "its label is the class of rather_than; an image cannot be contrasted with its own class",
    "target",
)


def quarantined_row(entry: Entry, reason: str | None, rank: int = 0) -> Result:
    """The result of an image that killed its workers and is not opened again."""
    photograph = Photograph(entry, entry.version)
    return failed_row(photograph, Failure(ImageStatus.ERROR, reason or "", "killer"), rank)


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
        **_of_image(photograph, rank),
    )


def stored_features(explanation: Explanation, kept: Features) -> NDArray[np.float16] | None:
    """What a part stores of the pooled features: projected, (256,), or all, (D,). None where there are none, and where
    one is not finite or too large for float16."""
    if explanation.pooled is None or kept == "none":
        return None
    return projected(explanation.pooled) if kept == "projected" else as_half(explanation.pooled)


def _of_image(photograph: Photograph, rank: int) -> dict[str, Any]:
    """What is stored once for each photograph, with its first class."""
    return {} if rank else {"pixels": photograph.pixels, "thumbnail": photograph.thumbnail}


def predicted(explanation: Explanation, threshold: float | None) -> int | None:
    """The most probable class. With a threshold, for a network that decides about each class for itself: the target, if
    its probability is not below; otherwise the most probable class, or None if that is the target."""
    if threshold is None:
        return explanation.prediction
    if explanation.probability >= threshold:
        return explanation.target
    return None if explanation.prediction == explanation.target else explanation.prediction


def explained_row(
    photograph: Photograph,
    rank: int,
    explanation: Explanation,
    metrics: dict[str, float],
    features: Features = "none",
    threshold: float | None = None,
) -> Result:
    """The result of an explained photograph; `rank` of the class, from 0, among those explained. features: how those of
    the photograph are stored, with its first class. threshold: see `predicted`.

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
        prediction=predicted(explanation, threshold),
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
        features=None if rank else stored_features(explanation, features),
        **_of_image(photograph, rank),
    )
