"""Open a dataset by its spec.

A spec without a prefix is read as the first of these that fits:

    s3://bucket/prefix                 objects below the prefix, with or without class folders (kind `s3`)
    FILE.csv .jsonl .ndjson .parquet   a manifest with a column `key` (kind `manifest`), also s3://…/FILE
    FILE.tar, DIR/x-{00..09}.tar,      tar shards (kind `tar`)
      DIR/x-*.tar
    FILE.zip                           photographs or class folders in an archive (kind `zip`)
    a folder with JPEGImages/          PASCAL VOC (kind `voc`)
    a folder with ILSVRC/Data/CLS-LOC/ ImageNet's own layout (kind `imagenet`)
    a folder with COCO's JSON files    objects with boxes (kind `coco`)
    a folder with images/ and labels/  YOLO's objects with boxes (kind `yolo`)
    a folder with an image in it       photographs at any depth (kind `folder`)
    a folder with folders              class folders, also below train/, val/ …: label = the folder's name
                                       (kind `classes`)
    a folder with .tar files           tar shards (kind `tar`)

A prefix names the kind explicitly: `folder:`, `classes:` (both also before s3://), `manifest:`, `tar:`, `zip:`,
`voc:`, `imagenet:`, `coco:`, `yolo:`. Options follow a `?`: `voc:/data/VOC2007?split=test`,
`/photographs?suffixes=.jpg,.dat`, `boxes.csv?root=/data/photographs&label=class`; for every kind
`?sample=200&per=class&seed=1` lists a sample and `?frames=each` the frames of DICOM files. `Source.spec` is the spec in
full: kind, absolute path, options.

With `dataset_roots` or `dataset_buckets` configured, nothing outside them is read.

`upload:ID` (kind `upload`) is an upload to the API: the objects below uploads/ID/ in the bucket of results, read with
its credentials, whatever the configured roots and buckets are. Only the API creates such specs; it does not accept them
from callers. Otherwise the bucket of results is never read as a dataset.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from gfi.datasets import frames
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import IMAGE_SUFFIXES, READABLE, Selection, is_image, is_other_image
from gfi.datasets.layouts.coco import Coco
from gfi.datasets.layouts.detection import detection_layout, layout_beside_photographs
from gfi.datasets.layouts.folder import Folder
from gfi.datasets.layouts.imagenet import ImageNet, is_imagenet
from gfi.datasets.layouts.voc import Voc
from gfi.datasets.layouts.yolo import Yolo
from gfi.datasets.listing import Fetched, Listed, Source, fingerprint
from gfi.datasets.media import local
from gfi.datasets.media.s3 import Objects
from gfi.datasets.sample import Sampled, SampleOptions
from gfi.datasets.tables import OPTIONS as TABLE_OPTIONS
from gfi.datasets.tables import SUFFIXES as TABLE_SUFFIXES
from gfi.datasets.tables import URL, Table
from gfi.datasets.tar import TarShards
from gfi.datasets.zip import SUFFIX as ZIP_SUFFIX
from gfi.datasets.zip import Zip
from gfi.store.settings import Settings

__all__ = [
    "IMAGE_SUFFIXES",
    "UPLOAD",
    "UPLOADS",
    "Fetched",
    "Listed",
    "Source",
    "fingerprint",
    "open_source",
]

UPLOAD = "upload:"
UPLOADS = "uploads/"
"""The folder of uploads in the bucket of results."""
Options = dict[str, str]


@dataclass(frozen=True)
class _Kind:
    """A kind of dataset on a file system. open: makes the source from place, settings and options. options: those that
    it accepts."""

    options: frozenset[str]
    open: Callable[[str, Settings, Options], Source]


def _roots(place: str, settings: Settings) -> local.Roots:
    return local.Roots.admit(place, settings.dataset_roots)


def _folder(kind: str) -> Callable[[str, Settings, Options], Source]:
    return lambda place, settings, options: Folder(
        kind, _roots(place, settings), Selection.parse(options.get("suffixes")), options.get("split")
    )


KINDS: dict[str, _Kind] = {
    "folder": _Kind(frozenset({"suffixes"}), _folder("folder")),
    "classes": _Kind(frozenset({"suffixes", "split"}), _folder("classes")),
    "manifest": _Kind(frozenset(TABLE_OPTIONS), Table),
    "tar": _Kind(
        frozenset({"images"}),
        lambda place, settings, options: TarShards(place, settings.dataset_roots, options.get("images")),
    ),
    "zip": _Kind(
        frozenset({"suffixes", "split"}),
        lambda place, settings, options: Zip(
            _roots(place, settings), Selection.parse(options.get("suffixes")), options.get("split")
        ),
    ),
    "voc": _Kind(
        frozenset({"split"}),
        lambda place, settings, options: Voc(_roots(place, settings), options.get("split")),
    ),
    "imagenet": _Kind(
        frozenset({"split"}),
        lambda place, settings, options: ImageNet(_roots(place, settings), options.get("split", "val")),
    ),
    "coco": _Kind(
        frozenset({"split"}),
        lambda place, settings, options: Coco(_roots(place, settings), options.get("split")),
    ),
    "yolo": _Kind(
        frozenset({"split"}),
        lambda place, settings, options: Yolo(_roots(place, settings), options.get("split")),
    ),
}
"""Every kind that a spec may name; `_recognise` finds the kind of a spec that names none. Buckets support the first
three, and `upload:` is a place in the bucket of results."""
_IN_BUCKETS = ("folder", "classes", "manifest")


def open_source(spec: str, settings: Settings) -> Source:
    """The dataset that `spec` names. Reads at most one folder or page; the listing comes later.

    Raises DatasetError if it does not exist, has no known kind, or is not allowed by `settings`.
    """
    kind, place, options = _parse(spec)
    sample, each_frame = SampleOptions.taken_from(options), frames.asked(options)
    source = _open(spec, kind, place, options, settings)
    if each_frame:
        source = frames.Framed(source)
    return source if sample is None else Sampled(source, sample)


def _open(spec: str, kind: str | None, place: str, options: Options, settings: Settings) -> Source:
    if kind == "upload":
        _check(spec, kind, frozenset(), options)
        return _upload(spec, place, settings)
    if place.startswith("s3://"):
        return _open_bucket(spec, kind, place, settings, options)
    if scheme := URL.match(place):
        raise DatasetError(
            f"{spec[:200]}: datasets are read from a file system or s3://, not from {scheme[0]}"
        )
    kind = kind or _recognise(place, settings, options.get("suffixes"))
    _check(spec, kind, KINDS[kind].options, options)
    return KINDS[kind].open(place, settings, options)


def _open_bucket(spec: str, kind: str | None, place: str, settings: Settings, options: Options) -> Source:
    if kind is None and place.lower().endswith(TABLE_SUFFIXES):
        kind = "manifest"
    if kind not in (None, *_IN_BUCKETS) or place.lower().endswith(".tar"):
        raise DatasetError(
            f"{spec}: tar shards and the layouts of VOC, ImageNet, COCO and YOLO are read from a file system only"
        )
    _check(spec, kind or "s3", KINDS[kind or "classes"].options, options)
    if kind == "manifest":
        return Table(place, settings, options)
    labelled = None if kind is None else kind == "classes"
    selection = Selection.parse(options.get("suffixes"))
    return Objects(place, settings, labelled, selection, options.get("split"))


def _upload(spec: str, name: str, settings: Settings) -> Source:
    if not re.fullmatch(r"[0-9a-z]{1,32}", name) or settings.s3_bucket is None:
        raise DatasetError(f"{spec[:200]!r} names no upload")
    nearest = settings.model_copy(
        update={field: None for field in Settings.model_fields if field.startswith("dataset_s3_")}
        | {"dataset_buckets": ()}
    )
    # Each file was decoded for the model before it was stored, arrays too.
    selection = Selection((*IMAGE_SUFFIXES, ".npy"))
    place = f"s3://{settings.s3_bucket}/{UPLOADS}{name}"
    source = Objects(place, nearest, labelled=False, selection=selection, results=True)
    source.kind, source.spec = "upload", spec
    return source


def _parse(spec: str) -> tuple[str | None, str, Options]:
    """`kind:place?option=value` → its parts; kind is None if the spec does not name one."""
    head, colon, rest = spec.partition(":")
    kind, place = (head, rest) if colon and head in (*KINDS, "upload") else (None, spec)
    if not place or "\0" in place or len(place) > 4096:
        raise DatasetError(f"{spec[:200]!r} names no dataset")
    # `?` is also a wildcard in shard patterns, so only text of the form of options is read as options.
    before, mark, query = place.rpartition("?")
    if mark and "=" in query and not os.path.exists(place):  # noqa: PTH110 - Path.exists raises on odd names
        return kind, before, dict(parse_qsl(query, keep_blank_values=True))
    return kind, place, {}


def place_of(spec: str) -> str:
    """Where the keys of a dataset begin, for programs that read its photographs themselves: a folder or a prefix of a
    bucket, with a slash at its end. spec: `Source.spec`.

    >>> place_of("classes:/data/birds?split=val"), place_of("manifest:/data/list.csv?root=s3://bucket/photos")
    ('/data/birds/', 's3://bucket/photos/')
    >>> place_of("tar:/data/train-{0..9}.tar"), place_of("upload:0a1b")
    ('/data/', 'upload:0a1b/')
    """
    kind, place, options = _parse(spec)
    if kind == "upload":
        return f"{spec}/"
    if kind == "manifest":
        place = options.get("root") or place.rpartition("/")[0]
    elif kind == "tar":  # its keys begin with the shard
        if pattern := re.match(r"(.*?)/[^/]*[{*?\[]", place):
            place = pattern[1]
        elif place.lower().endswith(".tar"):
            place = place.rpartition("/")[0]
    return f"{place.rstrip('/')}/"


def _check(spec: str, kind: str, known: frozenset[str], options: Options) -> None:
    unknown = sorted(set(options) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise DatasetError(f"{spec}: a {kind} dataset has no option {unknown[0]!r}; it has {names}")


def _recognise(place: str, settings: Settings, suffixes: str | None) -> str:
    if place.lower().endswith(".tar"):
        return "tar"
    if place.lower().endswith(ZIP_SUFFIX):
        return "zip"
    base = local.Roots.admit(place, settings.dataset_roots).base
    if place.lower().endswith(TABLE_SUFFIXES) and not base.is_dir():
        return "manifest"
    if not base.is_dir():
        if is_image(base.name):
            raise DatasetError(
                f"{place} is a photograph, not a dataset; name its folder, or `gfi explain {place}`"
            )
        raise DatasetError(
            f"{place} is not a dataset: expected a folder, .csv, .jsonl, .parquet, .tar, .zip or s3://bucket/prefix"
        )
    if (base / "JPEGImages").is_dir():
        return "voc"
    if is_imagenet(base):
        return "imagenet"
    try:
        return _recognise_folder(base, Selection.parse(suffixes))
    except OSError as error:
        raise local.failure(error, base) from error


def _recognise_folder(base: Path, selection: Selection) -> str:
    folders, shards = set(), False
    with os.scandir(base) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.add(entry.name.lower())
            elif _looks_like_image(entry, selection):
                return layout_beside_photographs(base) or "folder"
            shards = shards or entry.name.lower().endswith(".tar")
    if folders:
        if (kind := detection_layout(base)) is not None:
            return kind
        if folders != {"images"}:
            return "classes"
        _refuse_nested(base)
        return "folder"
    return "tar" if shards else "folder"


def _refuse_nested(base: Path) -> None:
    """DatasetError when the one folder `images` holds folders and no image: these may be classes."""
    images = next(path for path in base.iterdir() if path.name.lower() == "images")
    inside = (path.is_dir() for path in images.iterdir() if not path.name.startswith("."))
    if next(inside, False) and all(inside):
        raise DatasetError(
            f"{base} holds only {images.name}/, and that only folders; name {images} to read them as class folders, or "
            f"`folder:{base}` to read the photographs without labels"
        )


def _looks_like_image(entry: os.DirEntry[str], selection: Selection) -> bool:
    if selection.reads(entry.name) or is_other_image(entry.name):
        return True
    return selection.sniffs(entry.name) and local.sniff(Path(entry.path)) in READABLE
