"""The interface of a source of photographs: a listing, and the bytes of one image with their version.

A `version` is a short string that changes when the image does: `size-mtime_ns` for a file, the ETag for
an S3 object, shard and offset for a tar member. The listing carries the version it saw; `fetch` returns
the version of the bytes it read, and `changed` where these differ, so that a result always belongs to the bytes that it
names.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from gfi.datasets.annotations.boxes import Box, check_text
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import IMAGE_SUFFIXES
from gfi.datasets.notes import ListingNotes

# No photograph is larger; a video file called .jpg must not fill the memory.
MAX_BYTES = 256 * 2**20
LONGEST_KEY = 2_048
"""Bytes of a key."""


@dataclass(frozen=True)
class Listed:
    """One image of a listing. size: bytes, 0 where the listing does not say. version: "" where unknown.
    label: as the dataset writes it; None for an image with several `labels`, which are empty otherwise. boxes: as the
    dataset writes them; boxes_error: why its boxes could not be read. extra: further columns, JSON-able."""

    key: str
    size: int
    version: str
    label: str | None = None
    boxes: tuple[Box, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    boxes_error: str | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text("the key", self.key, LONGEST_KEY)
        for label in (self.label, *self.labels):
            check_text("the label", label)


@dataclass(frozen=True)
class Fetched:
    """The bytes of one image, their version and SHA-256 (hex). changed: the image has changed since it was listed."""

    data: bytes
    version: str
    sha256: str
    changed: bool


def fetched(data: bytes, version: str, expected: str | None) -> Fetched:
    """Compare what was read with what was listed (None or "": the listing did not know)."""
    return Fetched(data, version, hashlib.sha256(data).hexdigest(), bool(expected) and version != expected)


class Source(Protocol):
    """A source of photographs. Instances are cheap, thread-safe, and rebuilt from `spec` in every process.

    kind: folder, classes, s3, manifest, tar, zip, voc, imagenet, coco or yolo. spec: canonical, with kind and absolute
    path, so that a job means the same in every process and working directory.
    """

    kind: str
    spec: str

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        """Every image once, always in the same order, streaming. DatasetError when there is none.

        notes: records what is left out, repaired or decided while the listing is read.
        """
        ...

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        """The bytes of `key`, from any thread. version: as listed, to notice a change.

        DatasetError: it is missing, too large or not readable. Unavailable: the storage failed, try again.
        """
        ...

    def describe(self) -> str:
        """One line for messages: kind and place."""
        ...


def with_options(spec: str, **options: str | None) -> str:
    """`spec?name=value&…` with the options that are set."""
    pairs = [f"{name}={quote(value, safe='/:,')}" for name, value in options.items() if value is not None]
    return spec + ("?" + "&".join(pairs) if pairs else "")


def or_empty(listing: Iterable[Listed], place: object, notes: ListingNotes) -> Iterator[Listed]:
    """Yield a listing unchanged. If it is empty, raise a DatasetError that says what was left out."""
    empty = True
    for listed in listing:
        empty = False
        yield listed
    if empty:
        left_out = notes.left_out()
        raise DatasetError(
            f"no images in {place}; looked for {' '.join(IMAGE_SUFFIXES)}"
            + (f"; left out: {left_out}" if left_out else "")
        )


class ListingDigest:
    """SHA-256 over (key, version, size, label, boxes) of a listing in its order, computed while it is read; where an
    image has several labels, over these too."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(
        self,
        key: str,
        version: str,
        size: int,
        label: str | None,
        boxes: Iterable[Box],
        labels: Sequence[str] = (),
    ) -> None:
        """Adds one image."""
        row = [
            key,
            version,
            size,
            label,
            [box.to_json() for box in boxes],
            *([list(labels)] if labels else []),
        ]
        self._hash.update(json.dumps(row).encode() + b"\n")
        self.count += 1

    def hexdigest(self) -> str:
        """64 hex digits for the images added so far."""
        return self._hash.hexdigest()


def fingerprint(source: Source) -> str:
    """Digest of the present listing: equal to `manifest.Written.listing` if and only if nothing has changed.

    Reads names, sizes, times and annotations, but no images.
    """
    digest = ListingDigest()
    for listed in source.list():
        digest.add(listed.key, listed.version, listed.size, listed.label, listed.boxes, listed.labels)
    return digest.hexdigest()


def mask_image_reader(source: Source) -> Callable[[str, str | None], bytes]:
    """`read` of `gfi.datasets.annotations.settle`: a dataset's mask images. DatasetError for one that changed."""

    def read(key: str, version: str | None) -> bytes:
        fetched = source.fetch(key, version)
        if fetched.changed:
            raise DatasetError(f"the mask {key} has changed since it was listed")
        return fetched.data

    return read
