"""Turns a row of the manifest into a photograph for the engine, or into the reason why that fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import structlog
from numpy.typing import NDArray

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.datasets.annotations.settle import BoxNote, note_on, settle_boxes
from gfi.datasets.decode import Photograph as Decoded
from gfi.datasets.decode import decode_for
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.listing import Fetched, mask_image_reader
from gfi.datasets.manifest import Entry
from gfi.datasets.sources import Source
from gfi.domain.statuses import ImageStatus
from gfi.domain.window import AppliedWindow
from gfi.method.engine import Engine
from gfi.method.preprocess import Prepared
from gfi.report.photograph_properties import properties_of, thumbnail
from gfi.store.errors import StoreError, one_line, storable
from workers import saved_pictures
from workers.stages import Stages

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why an image has no mask. error_class: a short word for grouping."""

    status: ImageStatus
    error: str
    error_class: str

    @classmethod
    def of(cls, what: str, error: Exception, error_class: str) -> "Failure":
        """The failure for an unexpected exception of one image. what: the operation that failed (decoded, measured)."""
        log.warning("image failed", what=what, exc_info=error)
        reason = "it needs more memory than there is" if isinstance(error, MemoryError) else one_line(error)
        return cls(ImageStatus.ERROR, f"it could not be {what}: {reason}", error_class)

    def __post_init__(self) -> None:
        # Texts of libraries may quote bytes of the file, not all of which a part or PostgreSQL can store.
        object.__setattr__(self, "error", storable(self.error))


@dataclass(frozen=True)
class Photograph:
    """A row of the manifest: `prepared` is None if and only if `failure` is set.

    entry: with boxes in pixels of the photograph, if a metric needs them. picture: the photograph at the size of its
    overlay, if one is saved. window: what was done with samples of more than 8 bits. repairs: of its boxes. pixels,
    thumbnail: see `gfi.report.photograph_properties`.
    """

    entry: Entry
    version: str
    prepared: Prepared | None = None
    picture: NDArray[np.uint8] | None = None
    failure: Failure | None = None
    note: BoxNote | None = None
    window: AppliedWindow | None = None
    repairs: tuple[str, ...] = ()
    pixels: Mapping[str, float] = field(default_factory=dict)
    thumbnail: bytes | None = None


def photograph_reader(
    source: Source,
    engine: Engine,
    overlays: bool,
    boxes: bool = True,
    thumbnails: bool = True,
    stages: Stages | None = None,
) -> Callable[[Entry], Photograph]:
    """A function that fetches, decodes and prepares one row, in any thread. boxes: whether a metric needs them.

    A fault of an image is returned as its failure. Only outages of the storage (Unavailable, StoreError) and faults of
    this machine (OSError while fetching) are raised.
    """

    timed = (stages or Stages()).timed

    read_mask = mask_image_reader(source)

    def read(entry: Entry) -> Photograph:
        try:
            with timed("fetch"):
                fetched = source.fetch(entry.key, entry.version)
        except (Unavailable, StoreError, OSError):
            raise
        except DatasetError as error:
            return _failed(entry, entry.version, ImageStatus.ERROR, str(error), "missing")
        except Exception as error:
            return Photograph(entry, entry.version, failure=Failure.of("fetched", error, "missing"))
        if fetched.changed:
            reason = f"the bytes are of version {fetched.version}, the manifest lists {entry.version}"
            return _failed(entry, fetched.version, ImageStatus.CHANGED, reason, "changed")
        with timed("decode"):
            return prepare(entry, fetched)

    def prepare(entry: Entry, fetched: Fetched) -> Photograph:
        try:
            decoded = decode_for(fetched.data, engine.classifier.preprocess)
        except DatasetError as error:
            return _failed(entry, fetched.version, ImageStatus.ERROR, str(error), "unreadable")
        try:
            prepared = engine.classifier.prepare(decoded.seen, engine.recipe, decoded.scale)
            picture = saved_pictures.thumbnail(decoded.rgb) if overlays else None
            photograph = Photograph(
                entry,
                fetched.version,
                prepared,
                picture,
                window=decoded.window,
                pixels=properties_of(decoded),
                thumbnail=thumbnail(decoded.rgb) if thumbnails else None,
            )
            return _with_settled_boxes(photograph, decoded, read_mask) if boxes else photograph
        except (Unavailable, StoreError):  # of a mask image
            raise
        except Exception as error:
            failure = Failure.of("prepared for the network", error, "preparation")
            return Photograph(entry, fetched.version, failure=failure, window=decoded.window)

    return read


def _with_settled_boxes(
    photograph: Photograph, decoded: Decoded, read_mask: Callable[[str, str | None], bytes]
) -> Photograph:
    """The entry with its boxes fitted to the photograph, and the note on them."""
    entry = photograph.entry
    if entry.boxes_error is not None:
        settled = ImageBoxes(error=entry.boxes_error)
    else:
        settled = settle_boxes(entry.boxes, decoded.size, decoded.orientation, read_mask)
    repairs = settled.repairs
    return replace(
        photograph, entry=replace(entry, boxes=settled.boxes), note=note_on(settled), repairs=repairs
    )


def _failed(entry: Entry, version: str, status: ImageStatus, error: str, error_class: str) -> Photograph:
    return Photograph(entry, version, failure=Failure(status, error, error_class))
