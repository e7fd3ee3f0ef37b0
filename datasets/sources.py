"""Open a dataset by its spec.

A bare spec is taken for, in this order:

    s3://bucket/prefix               objects below the prefix (kind `s3`; `s3-classes` below)
    FILE.csv .jsonl .ndjson .parquet a manifest with a column `key` (kind `manifest`)
    FILE.tar, DIR/x-{00..09}.tar,    tar shards (kind `tar`); also a folder whose only data are .tar files
      DIR/x-*.tar
    a folder with JPEGImages/        PASCAL VOC (kind `voc`)
    a folder with ILSVRC/, or        ImageNet as distributed (kind `imagenet`)
      Data/CLS-LOC/
    a folder without an image, but   class folders (kind `classes`)
      with folders
    any other folder                 photographs at any depth (kind `folder`)

A prefix says it instead: `folder:`, `classes:`, `manifest:`, `tar:`, `voc:`, `imagenet:`. Options follow a
`?`: `voc:/data/VOC2007?split=test`, `imagenet:/data?split=val`, `boxes.csv?root=/data/photographs`.

With `dataset_roots` or `dataset_buckets` configured, nothing outside them is read.
"""

from pathlib import Path
from urllib.parse import parse_qsl

from datasets import files
from datasets.errors import DatasetError
from datasets.folder import Folder, holds_classes
from datasets.listing import (
    IMAGE_SUFFIXES,
    Fetched,
    Listed,
    ListingDigest,
    Reach,
    Source,
    fingerprint,
    is_image,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "Fetched",
    "Listed",
    "ListingDigest",
    "Reach",
    "Source",
    "fingerprint",
    "open_source",
]

_KINDS = ("folder", "classes")


def open_source(spec: str, settings: Reach) -> Source:
    """The dataset that `spec` names. Looks at most at one directory; listing comes later.

    DatasetError: it does not exist, is of no known kind, or lies outside what `settings` allow.
    """
    kind, place, _options = _parse(spec)
    roots = files.Roots.admit(Path(place), settings.dataset_roots)
    if not roots.base.exists():
        raise DatasetError(f"{place} does not exist")
    return Folder(spec, roots, kind or _recognise(roots.base))


def _parse(spec: str) -> tuple[str | None, str, dict[str, str]]:
    """`kind:place?option=value` → its parts; kind None when the spec does not say."""
    head, colon, rest = spec.partition(":")
    kind, place = (head, rest) if colon and head in _KINDS else (None, spec)
    if not place or "\0" in place:
        raise DatasetError(f"{spec!r} names no dataset")
    if "?" not in place or Path(place).exists():
        return kind, place, {}
    place, _, query = place.rpartition("?")
    return kind, place, dict(parse_qsl(query, keep_blank_values=True))


def _recognise(base: Path) -> str:
    if is_image(base.name) and base.is_file():
        raise DatasetError(
            f"{base} is a photograph, not a dataset; name its folder, or use `gfi explain {base}`"
        )
    if not base.is_dir():
        raise DatasetError(
            f"{base} is no dataset: expected a folder, .csv, .jsonl, .parquet, .tar or s3://bucket/prefix"
        )
    return "classes" if holds_classes(base) else "folder"
