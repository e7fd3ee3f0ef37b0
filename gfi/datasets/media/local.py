"""Access to the files below a root: reading, listing, and refusing paths that lead outside.

A path that comes from a key, a manifest or a link is resolved first and opened second; it must end inside
the dataset's root or one of the configured roots. What is opened is the resolved path, without following a
link in its last part, and only if it is a regular file (a FIFO called photo.jpg would wait for ever).
There is no protection against a user who renames directories inside the dataset while it is read.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.external_sort import sorted_names
from gfi.datasets.file_kinds import HEAD, READABLE, Selection, format_of, kind_of, with_extra, worth_a_word
from gfi.datasets.listing import LONGEST_KEY, MAX_BYTES
from gfi.datasets.notes import ListingNotes

# These errors concern the file. Every other error (EIO, ESTALE, EMFILE ...) concerns the machine.
_OF_THE_FILE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM),
    *(errno.ENXIO, errno.EINVAL),
}


@dataclass(frozen=True)
class Roots:
    """base: the dataset's folder, resolved. others: the configured roots, to which links may also lead."""

    base: Path
    others: tuple[Path, ...] = ()

    @staticmethod
    def admit(path: str | Path, allowed: Sequence[Path]) -> "Roots":
        """The resolved `path`, if it exists and the configuration allows it; otherwise raises DatasetError."""
        try:
            others = tuple(root.expanduser().resolve() for root in allowed)
            base = Path(path).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(f"{str(path)!r} names no dataset: {error}") from error
        if others and not any(base.is_relative_to(root) for root in others):
            # Checked before existence, so that a caller learns nothing about files outside.
            places = ", ".join(map(str, others))
            raise DatasetError(f"{path} is outside the dataset roots ({places}); see GFI_DATASET_ROOTS")
        try:
            base.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(f"{path} does not exist") from None
        except OSError as error:
            raise failure(error, path) from error
        return Roots(base, others)

    def require_folder(self) -> None:
        """DatasetError unless the base is a folder."""
        if not self.base.is_dir():
            raise DatasetError(f"{self.base} is not a folder")

    def contains(self, resolved: Path) -> bool:
        """Whether a resolved path lies inside."""
        return f"{resolved}/".startswith(self._beginnings)

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        """Of the paths inside, with a slash at the end."""
        return tuple(f"{str(root).rstrip('/')}/" for root in (self.base, *self.others))

    def locate(self, key: str) -> Path:
        """The resolved path that `key` names below the base, or as an absolute path inside the roots.

        Raises DatasetError for `..` and for any path that leads outside, by links or otherwise.
        """
        if not key or "\0" in key or ".." in key.split("/"):
            raise DatasetError(f"the key {key[:200]!r} does not name a file below {self.base}")
        return self.inside(key if key.startswith("/") else f"{self.base}/{key}")

    def inside(self, path: str | Path) -> Path:
        """`path` with every link followed; raises DatasetError if it leads outside."""
        try:
            resolved = _resolved(path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{str(path)[:200]!r} leads nowhere: {error}") from error
        if not self.contains(resolved):
            raise DatasetError(
                f"{path} is outside the dataset, at {resolved}; copy it inside, or add its folder to "
                "GFI_DATASET_ROOTS"
            )
        return resolved


def _resolved(path: str | Path) -> Path:
    """As `Path.resolve`, but from a text: of a manifest's listing that took half of the time. OSError for links in a
    circle."""
    resolved = Path(os.path.realpath(path))
    try:
        resolved.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
    return resolved


def version_of(status: os.stat_result) -> str:
    """`size-mtime_ns`."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def failure(error: OSError, path: object) -> DatasetError:
    """A DatasetError if the file is missing or forbidden; Unavailable (try again) for every other cause."""
    reason = error.strerror or str(error)
    if error.errno in _OF_THE_FILE:
        return DatasetError(f"cannot read {path}: {reason}")
    return Unavailable(f"cannot read {path} now: {reason}")


def open_regular(path: Path) -> int:
    """A descriptor for reading a resolved path. Raises OSError, and DatasetError if it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DatasetError(f"{path} is not a regular file")
    return descriptor


def read(path: Path) -> tuple[bytes, str]:
    """All bytes of a resolved path and their version. A file that is being written is read again until it no longer
    changes."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            for _ in range(3):
                before = os.fstat(file.fileno())
                if before.st_size > MAX_BYTES:
                    raise DatasetError(f"{path} has {before.st_size:,} bytes; the limit is {MAX_BYTES:,}")
                file.seek(0)
                data = file.read(MAX_BYTES + 1)
                after = os.fstat(file.fileno())
                if version_of(before) == version_of(after) and len(data) == after.st_size:
                    return data, version_of(after)
    except OSError as error:
        raise failure(error, path) from error
    raise Unavailable(f"{path} is being written while it is read")


LeaveOut = Callable[[str, Path], str | None]
"""Name and resolved path of a file → why it is left out of a listing; None if it is listed."""


def images(selection: Selection) -> LeaveOut:
    """All photographs of a selection."""

    def reason(name: str, path: Path) -> str | None:
        if selection.reads(name):
            return None
        if not selection.sniffs(name):
            return kind_of(name)
        file_format = sniff(path)
        return None if file_format in READABLE else with_extra(file_format or "") or kind_of(name)

    return reason


def sniff(path: Path) -> str | None:
    """The image format of a file by its first bytes; None if it is not an image or cannot be read."""
    try:
        with suppress(DatasetError), os.fdopen(open_regular(path), "rb") as file:
            return format_of(file.read(HEAD))
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
    return None


def walk(
    roots: Roots, start: Path, leave_out: LeaveOut, notes: ListingNotes
) -> Iterator[tuple[str, os.stat_result]]:
    """(key, status) of every wanted file below `start`, sorted by key as a whole string.

    A folder's name is sorted with a `/` appended: depth-first order is then the order of the full keys, and memory
    holds one directory per level (a very large one is sorted through temporary files). Hidden files and folders are
    skipped. Links are followed while they stay inside. What is left out is counted in `notes`.
    """
    prefix = "" if start == roots.base else start.relative_to(roots.base).as_posix() + "/"
    yield from _Walk(roots, leave_out, notes).below(start, prefix, ())


@dataclass(frozen=True)
class _Walk:
    roots: Roots
    leave_out: LeaveOut
    notes: ListingNotes

    def below(
        self, folder: Path, prefix: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[str, os.stat_result]]:
        """above: the folders that contain this one, by device and inode."""
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                self.notes.skip("link to a folder that contains it", prefix)
                return
            if len(above) > 100:
                raise DatasetError(f"{folder} is more than 100 folders deep")
            names = sorted_names(self._names(folder, prefix))
        except OSError as error:
            raise failure(error, folder) from error
        for name in names:
            path = folder / name
            if name.endswith("/"):
                yield from self.below(path, prefix + name, (*above, identity))
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                self.notes.skip("file that is gone", prefix + name)
                continue
            except OSError as error:
                raise failure(error, path) from error
            if stat.S_ISREG(status.st_mode):
                yield prefix + name, status
            else:
                self.notes.skip("not a regular file", prefix + name)

    def _names(self, folder: Path, prefix: str) -> Iterator[str]:
        """The names to list, with a `/` for folders. Links are checked here."""
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir()
                reason = self._left_out(folder, prefix, entry, is_folder)
                if reason is None:
                    yield entry.name + "/" if is_folder else entry.name
                elif reason and worth_a_word(entry.name):
                    self.notes.skip(reason, printable(prefix + entry.name))

    def _left_out(self, folder: Path, prefix: str, entry: os.DirEntry[str], is_folder: bool) -> str | None:
        """Why an entry is left out; None if it is listed; "" if it is left out without a note."""
        path = folder / entry.name
        if entry.name.startswith("."):
            wanted = not is_folder and self.leave_out(entry.name, path) is None
            return "hidden folder" if is_folder else "hidden" if wanted else ""
        if (reason := unusable(prefix + entry.name)) is not None:
            return reason
        if entry.is_symlink():
            try:
                path = self.roots.inside(path)
            except DatasetError:
                return "link that leads out of the dataset"
        return None if is_folder else self.leave_out(entry.name, path)


def unusable(name: str) -> str | None:
    """Why a name, or a whole key, cannot be the key of an image; None if it can."""
    if printable(name) != name:
        return "name that is not UTF-8"
    return "name that is too long" if len(name.encode()) > LONGEST_KEY else None


def printable(name: str) -> str:
    """A name in which bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
