"""From a manifest row to a part row to a result: a photograph read, an explanation packed."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Entry
from gfi.datasets.sources import Source
from gfi.domain.records import ResultRecord
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine, Explanation
from gfi.method.preprocess import Prepared
from gfi.store.parts import PartRow
from workers import pictures


@dataclass(frozen=True)
class Photograph:
    """A row made ready for the engine, or why it could not be: `prepared` is None exactly when `status` is set.

    picture: the photograph at the size of its overlay, where one is wanted.
    """

    entry: Entry
    version: str
    prepared: Prepared | None = None
    picture: NDArray[np.uint8] | None = None
    status: ImageStatus | None = None
    error: str | None = None
    error_class: str | None = None


def reader(source: Source, engine: Engine, overlays: bool) -> Callable[[Entry], Photograph]:
    """A function that fetches, decodes and prepares one row, in any thread.

    What is wrong with an image comes back as its status; only an outage of the medium raises (Unavailable).
    """

    def read(entry: Entry) -> Photograph:
        try:
            fetched = source.fetch(entry.key, entry.version)
        except Unavailable:
            raise
        except DatasetError as error:
            return _refused(entry, entry.version, ImageStatus.ERROR, str(error), "missing")
        if fetched.changed:
            reason = f"the bytes are of version {fetched.version}, the manifest lists {entry.version}"
            return _refused(entry, fetched.version, ImageStatus.CHANGED, reason, "changed")
        try:
            decoded = decode(fetched.data)
        except DatasetError as error:
            return _refused(entry, fetched.version, ImageStatus.ERROR, str(error), "unreadable")
        prepared = engine.classifier.prepare(decoded.rgb, engine.recipe, decoded.scale)
        return Photograph(
            entry, fetched.version, prepared, pictures.thumbnail(decoded.rgb) if overlays else None
        )

    return read


def _refused(entry: Entry, version: str, status: ImageStatus, error: str, error_class: str) -> Photograph:
    return Photograph(entry, version, status=status, error=error, error_class=error_class)


def without_contrast(photograph: Photograph) -> Photograph:
    """A photograph whose label is the very class it was to be told from."""
    reason = "its label is the class of rather_than; nothing tells a class from itself"
    return _refused(photograph.entry, photograph.version, ImageStatus.ERROR, reason, "target")


def convicted_row(entry: Entry, reason: str | None) -> PartRow:
    """The part row of an image that killed its workers, which nobody opens again."""
    return refused_row(_refused(entry, entry.version, ImageStatus.ERROR, reason or "", "killer"))


def refused_row(photograph: Photograph) -> PartRow:
    """The part row of a photograph that could not be made ready."""
    assert photograph.status is not None
    return PartRow(
        row=photograph.entry.row,
        key=photograph.entry.key,
        version=photograph.version,
        label=photograph.entry.label,
        status=photograph.status,
        error=photograph.error,
        error_class=photograph.error_class,
    )


def explained_row(
    photograph: Photograph, rank: int, prepared: Prepared, explanation: Explanation, metrics: dict[str, float]
) -> PartRow:
    """The part row of an explained photograph; `rank` of its class among the job's, from 0."""
    return PartRow(
        row=photograph.entry.row,
        target_rank=rank,
        key=photograph.entry.key,
        version=photograph.version,
        label=photograph.entry.label,
        status=ImageStatus(explanation.status),
        target=explanation.target,
        prediction=explanation.prediction,
        probability=explanation.probability,
        kept=explanation.kept,
        removed=explanation.removed,
        grid=explanation.grid if np.isfinite(explanation.grid).all() else None,
        iterations=explanation.iterations,
        original_size=prepared.original_size,
        box=prepared.box,
        area=explanation.area,
        metrics=metrics,
    )


def result(row: PartRow, part_row: int | None) -> ResultRecord:
    """The columns of a part row, and where in its part the row is."""
    columns = {each.name: getattr(row, each.name) for each in fields(ResultRecord) if each.name != "part_row"}
    return ResultRecord(**columns, part_row=part_row)
