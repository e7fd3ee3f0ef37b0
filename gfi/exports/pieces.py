"""Pieces: what a format made of a stretch of results, kept until the export is whole; and what they are assembled into.

A piece is a small ZIP of named files. In a folder beside the output, or below the task's prefix in the bucket.
"""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from gfi.exports.errors import ExportError
from gfi.store.objects import Bucket

Files = Iterable[tuple[str, bytes]]
_COMPRESSED = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".parquet")
CHUNK = 1 << 20


def method_of(name: str) -> int:
    """How a file of this name is stored in a ZIP: pictures are compressed already."""
    return zipfile.ZIP_STORED if name.lower().endswith(_COMPRESSED) else zipfile.ZIP_DEFLATED


def packed(files: Files) -> bytes:
    """A piece, from the files that a format made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method_of(name), 1)
    return out.getvalue()


class Pieces(Protocol):
    """Where pieces are kept, by their numbers from 0."""

    def put(self, number: int, data: bytes) -> None:
        """Keep a piece."""
        ...

    def get(self, number: int) -> bytes:
        """A piece that was kept."""
        ...


class FolderPieces:
    """Pieces in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, number: int, data: bytes) -> None:
        path = self.folder / f"{number:07}.zip"
        unfinished = path.with_suffix(".part.tmp")
        unfinished.write_bytes(data)
        unfinished.replace(path)

    def get(self, number: int) -> bytes:
        return (self.folder / f"{number:07}.zip").read_bytes()


class BucketPieces:
    """Pieces below a prefix of the bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix

    def put(self, number: int, data: bytes) -> None:
        self._bucket.put(self._key(number), data, content_type="application/zip")

    def get(self, number: int) -> bytes:
        return self._bucket.get(self._key(number))

    def delete(self, count: int) -> None:
        """Delete the first `count` pieces."""
        self._bucket.delete_many(map(self._key, range(count)))

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:07}.zip"


class Kept:
    """The pieces of an export that is complete, to be assembled."""

    def __init__(self, pieces: Pieces, count: int) -> None:
        self._pieces, self._count = pieces, count

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file of every piece, in order."""
        for number in range(self._count):
            with zipfile.ZipFile(io.BytesIO(self._pieces.get(number))) as archive:
                for name in archive.namelist():
                    yield name, archive.read(name)

    def named(self, name: str) -> Iterator[bytes]:
        """The file of this name of each piece that has it."""
        for number in range(self._count):
            with zipfile.ZipFile(io.BytesIO(self._pieces.get(number))) as archive:
                if name in archive.namelist():
                    yield archive.read(name)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of the file of this name, over all pieces."""
        for data in self.named(name):
            yield from data.splitlines()


class Sink(Protocol):
    """What an export is assembled into."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open the next file to write."""
        ...


class FileSink:
    """One file; its name in the export has no effect."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with self._path.open("wb") as file:
            yield file


class ZipSink:
    """A ZIP of files. A context manager."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", allowZip64=True)

    def __enter__(self) -> "ZipSink":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        entry = zipfile.ZipInfo(name)
        entry.compress_type = method_of(name)
        with self._archive.open(entry, "w", force_zip64=True) as file:
            yield file


class FolderSink:
    """A folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise ExportError(f"{name} lies outside the folder of the export")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            yield file


def write_list(out: IO[bytes], lines: Iterable[bytes]) -> None:
    """Lines of JSON as one JSON list."""
    out.write(b"[")
    for place, line in enumerate(lines):
        out.write(b",\n" if place else b"\n")
        out.write(line)
    out.write(b"\n]")


def json_line(value: object) -> bytes:
    """A value as one line of JSON; NaN and infinities are refused, since JSON has none."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def copy_other_files(kept: Kept, sink: Sink, but: str) -> None:
    """Write every file of the pieces but those named `but`."""
    for name, data in kept.files():
        if name != but:
            with sink.open(name) as out:
                out.write(data)
