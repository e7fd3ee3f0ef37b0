"""Tar shards in the WebDataset format: photographs, each with its label in a second file.

    train-000000.tar
        0001.jpg  0001.cls  0001.json       one sample: members with the same name up to the first dot
        0002.jpg  0002.txt

Key: `train-000000.tar/0001.jpg`. The label is the text of `.cls`, else "label" of `.json`, else the text of `.txt`
if that is one short line and not a caption. "boxes" of `.json` are boxes, its other members become `extra`. If names
contain more dots (img_0.5_1.jpg, img_0.5_1.cls), the part before the last dot is the name. Members of a sample need not
be adjacent.

The photograph of a sample is the image whose name has no further part (a.jpg); others (a.seg.png, a.left.jpg) are
counted and left out, unless there is no such image or `?images=all` is given.

Nothing is unpacked: an image is read at its offset, which is part of its version (`shardsize-mtime_ns@offset+length`),
so a worker opens the shard and reads once, without an index. Only plain members are photographs; links, devices and
sparse members are skipped, and a member whose name is absolute or contains `..` is refused. A compressed tar cannot
be read at an offset and is refused too.
"""

import math
import os
import re
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain, islice, product
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import is_image, kind_of
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes
from gfi.datasets.tar_samples import SIDE_CAR_BYTES, SIDE_CARS, Member, Sample

_PATTERNS = 1_000_000
_KEPT = 100_000
"""Members of a shard whose headers are kept while it is listed, 250 bytes each; of a longer one they are read twice."""
_VERSION = re.compile(r"(\d+-\d+)@(\d+)\+(\d+)")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


class TarShards:
    """kind: `tar`. place: one shard, a folder of shards, or a pattern with {000..099}, {a,b}, * or ?. images: "all"
    reads every image of a sample."""

    kind = "tar"

    def __init__(self, place: str, allowed: tuple[Path, ...], images: str | None = None):
        if images not in (None, "all"):
            raise DatasetError(f"the option images is `all`, not {images[:40]!r}")
        self._all_images = images == "all"
        fixed = Path(place)
        while re.search(r"[{}*?\[\]]", str(fixed)) and not fixed.exists():
            fixed = fixed.parent
        whole = local.Roots.admit(fixed, allowed)
        self._pattern = str(Path(place).relative_to(fixed)) if fixed != Path(place) else None
        self._only = whole.base.name if whole.base.is_file() else None
        self._roots = local.Roots(whole.base.parent, whole.others) if self._only else whole
        tail = "" if self._pattern is None else f"/{self._pattern}"
        self._place = f"{whole.base}{tail}"
        self.spec = with_options(f"tar:{self._place}", images=images)
        self._indexes = _Indexes()

    def describe(self) -> str:
        return f"tar shards {self._place}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._place, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        for shard in self._shards(notes):
            yield from list_shard(shard, self._roots.locate(shard), self._all_images, notes)

    def _shards(self, notes: ListingNotes) -> Iterator[str]:
        if self._only:
            yield self._only
        elif self._pattern is None:
            for key, _ in local.walk(self._roots, self._roots.base, _no_tar, notes):
                yield key
        else:
            for pattern in _expand(self._pattern):
                try:
                    paths = sorted(self._roots.base.glob(pattern))
                except ValueError as error:
                    raise DatasetError(f"{pattern!r} is not a pattern: {error}") from error
                if not paths:
                    raise DatasetError(f"no shard {self._roots.base / pattern}")
                for path in paths:
                    yield path.relative_to(self._roots.base).as_posix()

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        shard, member = self._split(key)
        path = self._roots.locate(shard)
        try:
            descriptor = local.open_regular(path)
            try:
                now = local.version_of(os.fstat(descriptor))
                known = _VERSION.fullmatch(version or "")
                if known and known[1] == now:
                    offset, length = int(known[2]), int(known[3])
                else:
                    offset, length = self._indexes.find(path, now, member)
                if length > MAX_BYTES:
                    raise DatasetError(f"{key} has {length:,} bytes; the limit is {MAX_BYTES:,}")
                data = _read_at(descriptor, offset, length)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise local.failure(error, path) from error
        if len(data) != length:
            raise DatasetError(f"{path} ends inside {member}")
        return fetched(data, f"{now}@{offset}+{length}", version)

    def _split(self, key: str) -> tuple[str, str]:
        """Shard and member: the first `.tar/` whose left side is a file."""
        for match in re.finditer(r"\.tar/", key, re.IGNORECASE):
            shard = key[: match.end() - 1]
            if self._roots.locate(shard).is_file():
                return shard, key[match.end() :]
        raise DatasetError(f"the key {key[:200]!r} names no member of a shard in {self._roots.base}")


def _no_tar(name: str, path: Path) -> str | None:
    return None if name.lower().endswith(".tar") else kind_of(name)


def _expand(pattern: str) -> list[str]:
    """{000..099} and {a,b} spelled out, as a shell would; `*`, `?` and `[ ]` are left to glob."""
    parts: list[list[str]] = []
    end = 0
    for match in _BRACES.finditer(pattern):
        parts.append([pattern[end : match.start()]])
        if match[3] is not None:
            parts.append(match[3].split(","))
        else:
            first, last = int(match[1]), int(match[2])
            if not first <= last < first + _PATTERNS:
                raise DatasetError(f"{match[0]} does not count up, or too far")
            parts.append([str(number).zfill(len(match[1])) for number in range(first, last + 1)])
        end = match.end()
    parts.append([pattern[end:]])
    if math.prod(map(len, parts)) > _PATTERNS:
        raise DatasetError(f"{pattern} stands for more than {_PATTERNS:,} shards")
    return ["".join(choice) for choice in product(*parts)]


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(descriptor, min(length, 2**24), offset)):
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return b"".join(pieces)


class _Headers:
    """The shard's file for tarfile, which refuses headers larger than a side-car file, whatever size they claim."""

    def __init__(self, file: BinaryIO):
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > SIDE_CAR_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


class _Place(NamedTuple):
    """A plain member: name, and where its bytes are in the shard."""

    name: str
    offset: int
    size: int


def _members(path: Path, notes: ListingNotes | None = None) -> Iterator[_Place]:
    """The plain members in file order."""
    try:
        with (
            os.fdopen(local.open_regular(path), "rb") as file,
            tarfile.open(fileobj=_Headers(file), mode="r:") as shard,  # type: ignore[call-overload]
        ):
            while (member := shard.next()) is not None:
                shard.members = []  # tarfile would keep every header that it has read
                name = member.name
                if not member.isreg() or member.issparse():
                    if notes is not None and not member.isdir():
                        notes.skip("link, device or sparse member", f"{path.name}/{name}")
                    continue
                if name.startswith("/") or ".." in name.split("/") or "\0" in name:
                    raise DatasetError(f"{path} holds {name!r}, which leads out of it; refused")
                yield _Place(name, member.offset_data, member.size)
            # tarfile reads a damaged header in mid-file as the end of the file: images would be lost silently.
            file.seek(shard.offset)
            if file.read(512).strip(b"\0"):
                raise DatasetError(f"{path} is damaged at byte {shard.offset:,}")
    except OSError as error:
        raise local.failure(error, path) from error
    except (tarfile.TarError, ValueError, OverflowError) as error:
        if file_is_compressed(path):
            raise DatasetError(f"{path} is compressed; unpack it to a plain .tar") from error
        raise DatasetError(f"{path} is not a readable tar: {error}") from error


def file_is_compressed(path: Path) -> bool:
    """gzip, bzip2, xz or zstd, by the first bytes."""
    with path.open("rb") as file:
        return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def list_shard(shard: str, path: Path, all_images: bool, notes: ListingNotes) -> Iterator[Listed]:
    """The photographs of one shard. If the members of each sample are adjacent, the shard is read as a stream;
    otherwise its names and labels are held in memory, about 500 bytes per sample."""
    version = _version(path)  # before its headers are read: if it changes then, its images have changed
    members = _members(path, notes)
    kept = list(islice(members, _KEPT))
    following = next(members, None)
    if following is None:
        together, places = _together(kept), iter(kept)
    else:
        together, places = _together(chain(kept, [following], members)), _members(path)
    if together:
        for sample in _samples(shard, path, version, places, notes):
            yield from sample.listed(all_images, notes)
        return
    samples: dict[str, Sample] = {}
    for part in _samples(shard, path, version, places, notes):
        sample = samples.setdefault(part.name, part)
        if sample is not part:
            sample.images += part.images
            sample.side_cars |= part.side_cars
    for sample in samples.values():
        yield from sample.listed(all_images, notes)


def _sample_name(member: str) -> tuple[str, str]:
    """The name of a member's sample, and the member's own without its suffix."""
    folder, _, base = member.removeprefix("./").rpartition("/")
    return f"{folder}/{base.partition('.')[0]}", f"{folder}/{base.rpartition('.')[0]}"


def _together(members: Iterable[_Place]) -> bool:
    """Whether the members of each sample are adjacent. Reads all of them: what is skipped is then noted once."""
    seen, last, together = set(), None, True
    for member in members:
        name = hash(_sample_name(member.name)[0])
        together = together and (name == last or name not in seen)
        seen.add(name)
        last = name
    return together


def _version(path: Path) -> str:
    try:
        return local.version_of(path.stat())
    except OSError as error:
        raise local.failure(error, path) from error


def _samples(
    shard: str, path: Path, version: str, members: Iterator[_Place], notes: ListingNotes
) -> Iterator[Sample]:
    """Runs of members of one sample."""
    try:
        with os.fdopen(local.open_regular(path), "rb") as file:
            yield from _runs(shard, version, file, members, notes)
    except OSError as error:
        raise local.failure(error, path) from error


def _runs(
    shard: str, version: str, file: BinaryIO, members: Iterator[_Place], notes: ListingNotes
) -> Iterator[Sample]:
    sample = Sample("")
    for member in members:
        base, key = member.name.rpartition("/")[2], f"{shard}/{member.name}"
        if (reason := local.unusable(key)) is not None:
            notes.skip(reason, local.printable(key))
            continue
        sample_name, name = _sample_name(member.name)
        suffix = base.rpartition(".")[2].lower()
        if base.startswith("."):
            if is_image(base.lstrip("._")):
                notes.skip("hidden", key)
            continue
        if sample_name != sample.name:
            yield sample
            sample = Sample(sample_name)
        if is_image(base):
            place = f"{version}@{member.offset}+{member.size}"
            sample.images.append(Member(key, name, member.size, place))
        elif suffix in SIDE_CARS:
            length = min(member.size, SIDE_CAR_BYTES + 1)
            sample.side_cars[(name, suffix)] = (key, _read_at(file.fileno(), member.offset, length))
        else:
            notes.skip(kind_of(base), key)
    yield sample


class _Indexes:
    """The place of each member, for a fetch without a version; kept for the last few shards."""

    def __init__(self, keep: int = 4):
        self._keep, self._lock = keep, threading.Lock()
        self._known: OrderedDict[tuple[Path, str], dict[str, tuple[int, int]]] = OrderedDict()

    def find(self, path: Path, version: str, member: str) -> tuple[int, int]:
        with self._lock:
            index = self._known.get((path, version))
            if index is None:
                index = {name: (offset, size) for name, offset, size in _members(path)}
                self._known[(path, version)] = index
                if len(self._known) > self._keep:
                    self._known.popitem(last=False)
        if member not in index:
            raise DatasetError(f"{path} holds no {member!r}")
        return index[member]
