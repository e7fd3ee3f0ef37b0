"""A row of the manifest as a photograph that is ready for the engine, or the reason why it cannot be."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from gfi.datasets.decode import decode
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Entry
from gfi.datasets.sources import Source
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.store.errors import one_line
from workers import saved_pictures

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why an image has no mask. error_class: a short word to group by."""

    status: ImageStatus
    error: str
    error_class: str

    @classmethod
    def of(cls, what: str, error: Exception, error_class: str) -> "Failure":
        """An unexpected exception that one image caused while it was to be `what` (decoded, measured)."""
        log.warning("image failed", what=what, exc_info=error)
        reason = "it needs more memory than there is" if isinstance(error, MemoryError) else one_line(error)
        return cls(ImageStatus.ERROR, f"it could not be {what}: {reason}", error_class)


@dataclass(frozen=True)
class Photograph:
    """A row of the manifest: `prepared` is None exactly where `failure` is set.

    picture: the photograph at the size of its overlay, where one is wanted.
    """

    entry: Entry
    version: str
    prepared: Prepared | None = None
    picture: NDArray[np.uint8] | None = None
    failure: Failure | None = None


def photograph_reader(source: Source, engine: Engine, overlays: bool) -> Callable[[Entry], Photograph]:
    """A function that fetches, decodes and prepares one row, in any thread.

    What is wrong with an image comes back as its failure. Only an outage of the medium (Unavailable) and what is wrong
    with this machine (OSError while fetching) raise.
    """

    def read(entry: Entry) -> Photograph:
        try:
            fetched = source.fetch(entry.key, entry.version)
        except Unavailable:
            raise
        except DatasetError as error:
            return _failed(entry, entry.version, ImageStatus.ERROR, str(error), "missing")
        if fetched.changed:
            reason = f"the bytes are of version {fetched.version}, the manifest lists {entry.version}"
            return _failed(entry, fetched.version, ImageStatus.CHANGED, reason, "changed")
        try:
            decoded = decode(fetched.data)
        except DatasetError as error:
            return _failed(entry, fetched.version, ImageStatus.ERROR, str(error), "unreadable")
        try:
            prepared = engine.classifier.prepare(decoded.rgb, engine.recipe, decoded.scale)
            picture = saved_pictures.thumbnail(decoded.rgb) if overlays else None
        except Exception as error:
            return Photograph(
                entry, fetched.version, failure=Failure.of("prepared for the network", error, "preparation")
            )
        return Photograph(entry, fetched.version, prepared, picture)

    return read


def _failed(entry: Entry, version: str, status: ImageStatus, error: str, error_class: str) -> Photograph:
    return Photograph(entry, version, failure=Failure(status, error, error_class))
