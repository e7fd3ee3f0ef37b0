"""The files of registered models in the bucket, and their copies on the machines that load them.

Each file is an object `models/sha256/HEX`. The list of a version's files is in the table of versions; a worker loads a
version from the files of that list and from nowhere else, so that an earlier version stays loadable when a later one is
registered. The last linear layer of a network (`gfi.domain.head`) is such an object too, named by `head` of the
version's record. Objects that no version names are deleted by the sweep.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gfi.domain.digests import JSON, digest
from gfi.store.errors import NotFound, StoreError

if TYPE_CHECKING:  # lists of models need neither numpy nor a client of the bucket
    from gfi.domain.head import Head
    from gfi.store.objects import Bucket

PREFIX = "models/sha256/"
MOST_FILES = 500
LARGEST_FILE = 5 * 2**30
"""Bytes; the limit of S3 for an upload in one request."""
LARGEST_MODEL = 20 * 2**30
"""Bytes of all files of a model together."""


@dataclass(frozen=True)
class ModelFile:
    """A file of a model. name: its path within the model's folder, with slashes. bytes: its size."""

    name: str
    sha256: str
    bytes: int

    @property
    def key(self) -> str:
        """Of its object in the bucket."""
        return PREFIX + self.sha256

    def to_json(self) -> JSON:
        """The stored form."""
        return {"name": self.name, "sha256": self.sha256, "bytes": self.bytes}


def read_files(stored: Sequence[JSON]) -> list[ModelFile]:
    """From the stored form. Raises StoreError for a name that leads out of the model's folder."""
    files = [ModelFile(str(one["name"]), str(one["sha256"]), int(one["bytes"])) for one in stored]
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in file.name:
            raise StoreError(f"the file {file.name!r} of a model leads out of its folder")
        if len(file.sha256) != 64 or not set(file.sha256) <= set("0123456789abcdef"):
            raise StoreError(f"the file {file.name!r} of a model has no SHA-256")
    return files


def put_files(bucket: "Bucket", folder: Path, names: Sequence[str]) -> list[ModelFile]:
    """Store the files `names` of a folder. Those that are stored already are stored again: the sweep spares young ones.

    Raises StoreError, and stores nothing, if there are too many or they are too large, one or all together; and as
    `Bucket.put`.
    """
    if len(names) > MOST_FILES:
        raise StoreError(f"a model may have {MOST_FILES} files; this one has {len(names)}")
    sizes = {name: (folder / name).stat().st_size for name in names}
    for name, size in sizes.items():
        if size > LARGEST_FILE:
            raise StoreError(f"{name} has {size / 2**30:.1f} GiB; a file of a model may have 5")
    if (total := sum(sizes.values())) > LARGEST_MODEL:
        raise StoreError(
            f"the files of this model have {total / 2**30:.1f} GiB together; a model may have 20"
        )
    files = []
    for name, size in sizes.items():
        path = folder / name
        with path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        file = ModelFile(PurePosixPath(name).as_posix(), sha256, size)
        bucket.put(file.key, path)
        files.append(file)
    return files


def put_head(bucket: "Bucket", path: Path, record: JSON) -> None:
    """Store the file of a head, which `write_head` wrote and of which it returned `record`; of NO_HEAD, nothing.

    Raises StoreError if the file is another: the record comes from a process that ran the code of the model, and its
    SHA-256 becomes the name of an object.
    """
    if record["layer"] is None:
        return
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        actual = None
    if record["sha256"] != actual:
        raise StoreError("the head of the model is not the file that its record names")
    bucket.put(_head_key(record), path)


def get_head(bucket: "Bucket", model: Mapping[str, Any]) -> "Head | None":
    """The last linear layer of a registered model. model: its record, which a job has too.

    None for a network without one, and for one that was registered before heads were stored. Raises NotFound if the
    bucket does not have it, and StoreError if it is damaged.
    """
    from gfi.domain.head import NO_HEAD, read_head

    record = model.get("head") or NO_HEAD
    if record["layer"] is None:
        return None
    try:
        return read_head(bucket.get(_head_key(record)), record)
    except NotFound:
        raise NotFound(
            f"the head of model {model.get('reference')} is not in the bucket any more: register the model again"
        ) from None
    except ValueError as error:
        raise StoreError(f"model {model.get('reference')}: {error}") from None


def _head_key(record: Mapping[str, Any]) -> str:
    return PREFIX + str(record["sha256"])


class ModelCache:
    """Copies of model files on this machine, shared by its workers. A folder per list of files, verified at each use.

    largest: bytes; the models that were used longest ago are removed when there are more.
    """

    def __init__(self, folder: Path, bucket: "Bucket", largest: int) -> None:
        self._folder = folder
        self._bucket = bucket
        self._largest = largest

    @contextlib.contextmanager
    def opened(self, name: str, files: Sequence[ModelFile]) -> Iterator[Path]:
        """A folder that has these files in its subfolder `name`. Nothing removes them within the `with` block.

        Raises NotFound if the bucket does not have a file, StoreError if one is damaged, and OSError if they cannot
        be written here.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / digest([name, [file.to_json() for file in files]])
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            with place.with_suffix(".lock").open("a") as own:
                fcntl.flock(own, fcntl.LOCK_EX)  # of several workers of this machine one fetches
                if not _intact(place / name, files):
                    self._fetch(place, name, files)
                os.utime(place)
            yield place
        self._evict(place)

    def _fetch(self, place: Path, name: str, files: Sequence[ModelFile]) -> None:
        made = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._folder))
        new = made / "new"
        try:
            for file in files:
                path = new / name / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._bucket.get_to(file.key, path)
                except NotFound:
                    raise NotFound(
                        f"{file.name} of model {name} is not in the bucket any more: register the model again"
                    ) from None
            if not _intact(new / name, files):
                raise StoreError(f"the files of model {name} arrived damaged from {self._bucket.place}")
            shutil.rmtree(place, ignore_errors=True)
            new.rename(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _evict(self, used: Path) -> None:
        """Remove what was used longest ago, unless a worker of this machine reads a model at the moment."""
        with (self._folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            folders = [folder for folder in self._folder.iterdir() if len(folder.name) == 64]
            kept = sorted(folders, key=lambda folder: folder.stat().st_mtime)
            sizes = {folder: _bytes(folder) for folder in kept}
            total = sum(sizes.values())
            for folder in kept:
                if total <= self._largest:
                    break
                if folder != used:
                    shutil.rmtree(folder, ignore_errors=True)
                    total -= sizes[folder]
            left = {folder.name for folder in self._folder.iterdir() if folder.is_dir()}
            for own in self._folder.glob(
                "*.lock"
            ):  # none of them is held: their holders share the folder's lock
                if own.stem and own.stem not in left and own.name != ".lock":
                    own.unlink(missing_ok=True)
            for unfinished in self._folder.glob(".fetching-*"):  # of a worker that was killed
                shutil.rmtree(unfinished, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _intact(folder: Path, files: Sequence[ModelFile]) -> bool:
    for file in files:
        path = folder / file.name
        try:
            with path.open("rb") as opened:
                if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                    return False
        except OSError:
            return False
    return True
