"""Files below a root, and nothing else: reading, walking, staying inside.

A path that comes from a key, a manifest or a link is resolved first and opened second; it must end inside
the dataset's root or one of the configured roots. What is opened is the resolved path, without following a
link in its last part, and only if it is a regular file (a FIFO called photo.jpg would wait for ever).
Someone who may rename directories inside a dataset while it is read is not defended against.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datasets.errors import DatasetError, Unavailable
from datasets.listing import MAX_BYTES, is_image
from datasets.spill import sorted_names

_GONE = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EACCES,
    errno.EPERM,
}


@dataclass(frozen=True)
class Roots:
    """base: of the dataset, resolved. others: the configured roots, where links may also lead."""

    base: Path
    others: tuple[Path, ...] = ()

    @staticmethod
    def admit(path: Path, allowed: Sequence[Path]) -> "Roots":
        """The dataset at `path`, if the configuration allows it. DatasetError when it does not."""
        others = tuple(root.expanduser().resolve() for root in allowed)
        base = path.expanduser().resolve()
        if others and not any(base.is_relative_to(root) for root in others):
            # Said before looking whether it exists: a caller learns nothing about what lies outside.
            raise DatasetError(
                f"{path} is outside the dataset roots ({', '.join(map(str, others))}); see GFI_DATASET_ROOTS"
            )
        return Roots(base, others)

    def contains(self, resolved: Path) -> bool:
        return any(resolved.is_relative_to(root) for root in (self.base, *self.others))

    def locate(self, key: str) -> Path:
        """The resolved path of a key below the base. DatasetError for `..`, absolute keys and leading-out links."""
        parts = PurePosixPath(key).parts
        if not key or key.startswith("/") or "\0" in key or ".." in parts:
            raise DatasetError(f"the key {key!r} does not name a file below {self.base}")
        return self.inside(self.base / key)

    def inside(self, path: Path) -> Path:
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError) as error:
            raise DatasetError(f"{path} leads nowhere: {error}") from error
        if not self.contains(resolved):
            raise DatasetError(
                f"{path} leads out of the dataset, to {resolved}; copy it inside, or add its folder to GFI_DATASET_ROOTS"
            )
        return resolved


def version_of(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def failure(error: OSError, path: object) -> DatasetError:
    """Blame the file when it is gone or forbidden, the medium (try again) for everything else."""
    reason = error.strerror or type(error).__name__
    if error.errno in _GONE:
        return DatasetError(f"cannot read {path}: {reason}")
    return Unavailable(f"cannot read {path} now: {reason}")


def read(path: Path) -> tuple[bytes, str]:
    """All bytes of a resolved path and their version. A file that is being written is read until it holds still."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            for _ in range(3):
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise DatasetError(f"{path} is not a regular file")
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


def walk(
    roots: Roots, start: Path, wanted: Callable[[str], bool] = is_image
) -> Iterator[tuple[str, os.stat_result]]:
    """(key, status) of every wanted file below `start`, sorted by key as a whole string.

    A directory's names are sorted with a `/` behind those of folders: depth-first order is then the order
    of the full keys, and memory holds one directory a level (a very large one is sorted through temporary
    files). Hidden files and folders are skipped. Links are followed while they stay inside.
    """
    prefix = "" if start == roots.base else start.relative_to(roots.base).as_posix() + "/"
    yield from _walk(roots, start, prefix, wanted, ())


def _walk(
    roots: Roots, folder: Path, prefix: str, wanted: Callable[[str], bool], above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, os.stat_result]]:
    try:
        here = folder.stat()
        identity = (here.st_dev, here.st_ino)
        if identity in above:
            raise DatasetError(f"{folder} is a link to a folder that contains it")
        names = sorted_names(_names(roots, folder, wanted))
    except OSError as error:
        raise failure(error, folder) from error
    for name in names:
        path = folder / name
        if name.endswith("/"):
            yield from _walk(roots, path, prefix + name, wanted, (*above, identity))
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # removed since its folder was read
        except OSError as error:
            raise failure(error, path) from error
        if stat.S_ISREG(status.st_mode):
            yield prefix + name, status


def _names(roots: Roots, folder: Path, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Wanted file names and, with a `/`, folders. Checks links here, where the directory entry says it is one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            is_folder = entry.is_dir()
            if not is_folder and not wanted(name):
                continue
            if not name.isprintable() and _unspeakable(name):
                raise DatasetError(f"the name {name!r} in {folder} is not UTF-8; rename it")
            if entry.is_symlink():
                roots.inside(Path(entry.path))
            yield name + "/" if is_folder else name


def _unspeakable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
