"""Tar shards, as WebDataset writes them: photographs with their labels beside them.

    train-000000.tar
        0001.jpg  0001.cls  0001.json       one sample: members with the same name up to the first dot
        0002.jpg  0002.txt                  standing next to each other

Key: `train-000000.tar/0001.jpg`. The label is the text of `.cls` or `.txt`, or "label" of `.json`, whose
"boxes" are boxes and whose other members become `extra`.

Nothing is unpacked: an image is read at its offset, which its version carries
(`shardsize-mtime_ns@offset+length`), so a worker opens the shard and reads once, without an index. Only
plain members are photographs; links, devices and sparse members are skipped, and a member whose name is
absolute or climbs with `..` is refused. A compressed tar cannot be read at an offset and is refused too.
"""

import json
import math
import os
import re
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, is_image, or_empty
from gfi.datasets.media import local

_SIDE_CAR = 2**20
_PATTERNS = 1_000_000
_VERSION = re.compile(r"(\d+-\d+)@(\d+)\+(\d+)")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


class TarShards:
    """kind: `tar`. place: one shard, a folder of shards, or a pattern with {000..099}, {a,b}, * or ?."""

    kind = "tar"

    def __init__(self, place: str, allowed: tuple[Path, ...]):
        fixed = Path(place)
        while re.search(r"[{}*?\[\]]", str(fixed)) and not fixed.exists():
            fixed = fixed.parent
        whole = local.Roots.admit(fixed, allowed)
        self._pattern = str(Path(place).relative_to(fixed)) if fixed != Path(place) else None
        self._only = whole.base.name if whole.base.is_file() else None
        self._roots = local.Roots(whole.base.parent, whole.others) if self._only else whole
        tail = "" if self._pattern is None else f"/{self._pattern}"
        self.spec = f"tar:{whole.base}{tail}"
        self._indexes = _Indexes()

    def describe(self) -> str:
        return f"tar shards {self.spec.removeprefix('tar:')}"

    def list(self) -> Iterator[Listed]:
        return or_empty(self._list(), self.spec.removeprefix("tar:"))

    def _list(self) -> Iterator[Listed]:
        for shard in self._shards():
            yield from _listed(shard, self._roots.locate(shard))

    def _shards(self) -> Iterator[str]:
        if self._only:
            yield self._only
        elif self._pattern is None:
            for key, _ in local.walk(self._roots, self._roots.base, wanted=_is_tar):
                yield key
        else:
            for pattern in _expand(self._pattern):
                try:
                    found = sorted(self._roots.base.glob(pattern))
                except ValueError as error:
                    raise DatasetError(f"{pattern!r} is no pattern: {error}") from error
                if not found:
                    raise DatasetError(f"no shard {self._roots.base / pattern}")
                for path in found:
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


def _is_tar(name: str) -> bool:
    return name.lower().endswith(".tar")


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
    """The shard's file as tarfile sees it: no header is larger than a side-car, whatever it claims to be."""

    def __init__(self, file: BinaryIO):
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _SIDE_CAR:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, BinaryIO, str]]:
    """The plain members in file order, with the file they can be read from and the shard's version."""
    try:
        with os.fdopen(local.open_regular(path), "rb") as file:
            version = local.version_of(os.fstat(file.fileno()))
            with tarfile.open(fileobj=_Headers(file), mode="r:") as shard:  # type: ignore[call-overload]
                while (member := shard.next()) is not None:
                    shard.members = []  # tarfile would keep every header it ever saw
                    if not member.isreg() or member.issparse():
                        continue
                    name = PurePosixPath(member.name)
                    if name.is_absolute() or ".." in name.parts or "\0" in member.name:
                        raise DatasetError(f"{path} holds {member.name!r}, which leads out of it; refused")
                    yield member, file, version
                # tarfile takes a damaged header in mid-file for the end: images would be lost in silence.
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


@dataclass
class _Sample:
    """Members of one name, while they stream by."""

    stem: str
    images: list[tuple[str, int, str]] = field(default_factory=list)
    label: str | None = None
    boxes: tuple[Box, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def listed(self) -> Iterator[Listed]:
        for key, size, version in self.images:
            yield Listed(key, size, version, self.label, self.boxes, self.extra)


def _listed(shard: str, path: Path) -> Iterator[Listed]:
    sample = _Sample("")
    for member, file, version in _members(path):
        folder, _, base = member.name.removeprefix("./").rpartition("/")
        stem, _, suffix = base.partition(".")
        if f"{folder}/{stem}" != sample.stem:
            yield from sample.listed()
            sample = _Sample(f"{folder}/{stem}")
        if is_image(base):
            place = f"{version}@{member.offset_data}+{member.size}"
            sample.images.append((f"{shard}/{member.name}", member.size, place))
        elif suffix.lower() in ("cls", "txt", "json"):
            _annotate(sample, suffix.lower(), member, file, f"{shard}/{member.name}")
    yield from sample.listed()


def _annotate(sample: _Sample, suffix: str, member: tarfile.TarInfo, file: BinaryIO, key: str) -> None:
    if member.size > _SIDE_CAR:
        raise DatasetError(
            f"{key} has {member.size:,} bytes; a label or annotation has at most {_SIDE_CAR:,}"
        )
    try:
        text = _read_at(file.fileno(), member.offset_data, member.size).decode()
        if suffix != "json":
            sample.label = text.strip() or None
            return
        facts = json.loads(text)
        if not isinstance(facts, dict):
            raise DatasetError("not a JSON object")
        label, boxes = facts.pop("label", None), facts.pop("boxes", None)
        sample.label = sample.label if label is None else str(label)
        sample.boxes = tuple(map(Box.from_json, boxes or ()))
        sample.extra = facts
    except (ValueError, TypeError, RecursionError, DatasetError) as error:
        raise DatasetError(f"{key}: {error}") from error


class _Indexes:
    """Where each member lies, for a fetch that does not know; the last few shards are remembered."""

    def __init__(self, keep: int = 4):
        self._keep, self._lock = keep, threading.Lock()
        self._known: OrderedDict[tuple[Path, str], dict[str, tuple[int, int]]] = OrderedDict()

    def find(self, path: Path, version: str, member: str) -> tuple[int, int]:
        with self._lock:
            index = self._known.get((path, version))
            if index is None:
                index = {info.name: (info.offset_data, info.size) for info, _, _ in _members(path)}
                self._known[(path, version)] = index
                if len(self._known) > self._keep:
                    self._known.popitem(last=False)
        if member not in index:
            raise DatasetError(f"{path} holds no {member!r}")
        return index[member]
