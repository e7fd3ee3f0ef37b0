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

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.external_sort import sorted_names
from gfi.datasets.listing import MAX_BYTES, is_image

# These say something about the file. Every other error (EIO, ESTALE, EMFILE ...) is the machine's.
_OF_THE_FILE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM),
    *(errno.ENXIO, errno.EINVAL),
}


@dataclass(frozen=True)
class Roots:
    """base: of the dataset, resolved. others: the configured roots, where links may also lead."""

    base: Path
    others: tuple[Path, ...] = ()

    @staticmethod
    def admit(path: str | Path, allowed: Sequence[Path]) -> "Roots":
        """What exists at `path`, if the configuration allows it. DatasetError when not."""
        try:
            others = tuple(root.expanduser().resolve() for root in allowed)
            base = Path(path).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(f"{str(path)!r} names no dataset: {error}") from error
        if others and not any(base.is_relative_to(root) for root in others):
            # Said before looking whether it exists: a caller learns nothing about what lies outside.
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
        return any(resolved.is_relative_to(root) for root in (self.base, *self.others))

    def locate(self, key: str) -> Path:
        """The resolved path that `key` names below the base, or as an absolute path inside the roots.

        DatasetError for `..` and for whatever leads out, by links or otherwise.
        """
        if not key or "\0" in key or ".." in PurePosixPath(key).parts:
            raise DatasetError(f"the key {key[:200]!r} does not name a file below {self.base}")
        return self.inside(self.base / key)

    def inside(self, path: Path) -> Path:
        """`path` with every link followed; DatasetError when that leads out."""
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(f"{str(path)[:200]!r} leads nowhere: {error}") from error
        if not self.contains(resolved):
            raise DatasetError(
                f"{path} is outside the dataset, at {resolved}; copy it inside, or add its folder to "
                "GFI_DATASET_ROOTS"
            )
        return resolved


def version_of(status: os.stat_result) -> str:
    """`size-mtime_ns`."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def failure(error: OSError, path: object) -> DatasetError:
    """Blame the file when it is gone or forbidden; the medium, to be tried again, for everything else."""
    reason = error.strerror or str(error)
    if error.errno in _OF_THE_FILE:
        return DatasetError(f"cannot read {path}: {reason}")
    return Unavailable(f"cannot read {path} now: {reason}")


def open_regular(path: Path) -> int:
    """A descriptor for reading a resolved path. OSError; DatasetError when it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DatasetError(f"{path} is not a regular file")
    return descriptor


def read(path: Path) -> tuple[bytes, str]:
    """All bytes of a resolved path and their version. What is being written is read until it holds still."""
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


def walk(
    roots: Roots, start: Path, wanted: Callable[[str], bool] = is_image
) -> Iterator[tuple[str, os.stat_result]]:
    """(key, status) of every wanted file below `start`, sorted by key as a whole string.

    A folder's name is sorted with a `/` behind it: depth-first order is then the order of the full keys,
    and memory holds one directory a level (a very large one is sorted through temporary files). Hidden
    files and folders are skipped. Links are followed while they stay inside.
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
        if len(above) > 100:
            raise DatasetError(f"{folder} is more than 100 folders deep")
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
    """Wanted names, those of folders with a `/`. Links are checked here, where the entry says it is one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            is_folder = entry.is_dir()
            if not is_folder and not wanted(name):
                continue
            if any("\udc80" <= letter <= "\udcff" for letter in name):  # os.fsdecode's mark of bad bytes
                raise DatasetError(f"the name {name!r} in {folder} is not UTF-8; rename it")
            if entry.is_symlink():
                roots.inside(folder / name)
            yield name + "/" if is_folder else name
