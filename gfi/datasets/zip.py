"""Photographs in a zip archive (kind `zip`): read in place, never unpacked.

    birds.zip: jay/1.jpg, wren/2.jpg           label = the first folder, where no photograph lies above the folders
    photos.zip: 2019/1.jpg, 2.jpg              no labels

A folder that holds everything (`birds/jay/1.jpg`) is not a class, and not part of the keys' meaning. Keys are the names
in the archive, sorted. The version of an image is its checksum and size in the archive's directory, so an archive that
is written again with the same photographs has not changed.

A member is read into memory with the limit of any photograph, whatever its header says, and its checksum is verified.
Names that lead out of the archive, links and encrypted members are left out with the reason.
"""

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import IO

from gfi.datasets.class_folders import class_label, say_splits, split_folders
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import Selection, kind_of, worth_a_word
from gfi.datasets.listing import MAX_BYTES, Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes

SUFFIX = ".zip"
MOST_MEMBERS = 2_000_000
"""Of an archive, whose directory is held in memory: about 500 bytes each."""
_ENCRYPTED = 0x1
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other compressions can expand a thousandfold more, and no program writes photographs so."""


class Zip:
    """kind: `zip`. split: one of the split folders, None for all."""

    kind = "zip"

    def __init__(self, roots: local.Roots, selection: Selection | None = None, split: str | None = None):
        if not roots.base.is_file():
            raise DatasetError(f"{roots.base} is not a file")
        self._path, self._split = roots.base, split
        self._selection = selection or Selection()
        self._lock = threading.Lock()
        self._open: tuple[str, zipfile.ZipFile] | None = None
        self.spec = with_options(f"zip:{roots.base}", **self._selection.option(), split=split)

    def describe(self) -> str:
        return f"zip archive {self._path}" + (f", split {self._split}" if self._split else "")

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._path, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        members = []
        for member in sorted(self._archive().infolist(), key=lambda one: one.filename):
            reason = self._left_out(member)
            if reason is None:
                members.append(member)
            elif reason and worth_a_word(PurePosixPath(member.filename).name):
                notes.skip(reason, member.filename)
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            twice = next(name for name, other in pairwise(names) if name == other)
            raise DatasetError(f"{self._path} has {twice!r} twice")
        whole = _whole_folder(names)
        tops = {name[len(whole) :].partition("/")[0] for name in names if "/" in name[len(whole) :]}
        labelled = bool(tops) and all("/" in name[len(whole) :] for name in names) and tops != {"images"}
        splits = split_folders(tops) if labelled else frozenset[str]()
        if self._split is not None and self._split not in splits:
            known = ", ".join(sorted(splits)) or "none"
            raise DatasetError(f"{self._path} has no split folder {self._split!r}; it has {known}")
        say_splits(notes, splits, self._split)
        for member in members:
            inside = member.filename[len(whole) :]
            if self._split is None or inside.startswith(f"{self._split}/"):
                label = class_label(inside, splits, notes) if labelled else None
                yield Listed(member.filename, member.file_size, _version(member), label)

    def _left_out(self, member: zipfile.ZipInfo) -> str | None:
        """Why a member is left out; None if it is listed; "" if it is left out without a note."""
        if member.is_dir():
            return ""
        name, parts = member.filename, member.filename.split("/")
        if name.startswith("/") or "\\" in name or ".." in parts or "" in parts:
            return "name that leads out of the archive"
        wanted = self._selection.reads(parts[-1])
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return ""
        if not wanted:
            return kind_of(parts[-1])
        if (reason := local.unusable(name)) is not None:
            return reason
        if stat.S_ISLNK(member.external_attr >> 16):
            return "link"
        if member.flag_bits & _ENCRYPTED:
            return "encrypted"
        return None if member.compress_type in _READ else "compressed in a way that is not read"

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        archive = self._archive()
        try:
            member = archive.getinfo(key)
        except KeyError:
            raise DatasetError(f"{self._path} has no {key[:200]!r}") from None
        if (reason := self._left_out(member)) is not None:
            raise DatasetError(f"{key[:200]!r} of {self._path} is not read: {reason}")
        try:
            with archive.open(member) as file:
                data = _limited(file)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DatasetError(f"{key[:200]!r} of {self._path} is damaged: {error}") from error
        except OSError as error:
            raise local.failure(error, self._path) from error
        return fetched(data, _version(member), version)

    def _archive(self) -> zipfile.ZipFile:
        """The archive as it is now; opened again after it was written."""
        try:
            with self._lock:
                version = local.version_of(self._path.stat())
                if self._open is None or self._open[0] != version:
                    # Closed when its last reader is done: other threads may still read from it.
                    self._open = version, zipfile.ZipFile(self._path)
                archive = self._open[1]
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise DatasetError(f"{self._path} is not a zip archive: {error}") from error
        except OSError as error:
            raise local.failure(error, self._path) from error
        if len(archive.infolist()) > MOST_MEMBERS:
            raise DatasetError(f"{self._path} has more than {MOST_MEMBERS:,} members; unpack it")
        return archive


def _limited(file: IO[bytes]) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DatasetError(f"it expands to more than {MAX_BYTES:,} bytes")
    return data


def _version(member: zipfile.ZipInfo) -> str:
    return f"{member.CRC:08x}-{member.file_size}"


def _whole_folder(names: Sequence[str]) -> str:
    """The folder that holds all of `names` as its only content, with a slash, if there are folders in it; else ""."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or not all(name.count("/") > 1 for name in names):
        return ""
    return f"{tops.pop()}/"
