"""A folder of photographs, or of class folders.

    photos/cat.jpg, photos/2019/dog.jpg                      kind `folder`: no labels
    photos/n02123045/1.jpg, photos/n02102040/2.jpg           kind `classes`: label = the first folder's name
    photos/train/cat/1.jpg, photos/val/cat/2.jpg             kind `classes`: label = the folder below the split

Keys are paths below the root with `/`, sorted. Both read every level. `?suffixes=.jpg,.dat` says which files are
photographs (`none`: those without a suffix, whose first bytes are otherwise examined); `?split=val` reads one split.
"""

import os
from collections.abc import Iterator

from gfi.datasets.class_folders import class_label, say_splits, split_folders
from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import Selection
from gfi.datasets.listing import Fetched, Listed, fetched, or_empty, with_options
from gfi.datasets.media import local
from gfi.datasets.notes import ListingNotes


class Folder:
    """kind: `folder` or `classes`. split: one of the split folders, None for all."""

    def __init__(
        self, kind: str, roots: local.Roots, selection: Selection | None = None, split: str | None = None
    ):
        roots.require_folder()
        self._selection = selection or Selection()
        self.kind, self._roots, self._split = kind, roots, split
        self.spec = with_options(f"{kind}:{roots.base}", **self._selection.option(), split=split)
        if split is not None and split not in self._splits():
            known = ", ".join(sorted(self._splits())) or "none"
            raise DatasetError(f"{roots.base} has no split folder {split!r}; it has {known}")

    def describe(self) -> str:
        place = f"{'class folders in' if self.kind == 'classes' else 'folder'} {self._roots.base}"
        return place + (f", split {self._split}" if self._split else "")

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        notes = ListingNotes() if notes is None else notes
        return or_empty(self._list(notes), self._roots.base, notes)

    def _list(self, notes: ListingNotes) -> Iterator[Listed]:
        splits = self._splits() if self.kind == "classes" else frozenset[str]()
        say_splits(notes, splits, self._split)
        start = self._roots.base / (self._split or "")
        self._roots.inside(start)
        for key, status in local.walk(self._roots, start, local.images(self._selection), notes):
            label = class_label(key, splits, notes) if self.kind == "classes" else None
            yield Listed(key, status.st_size, local.version_of(status), label)

    def _splits(self) -> frozenset[str]:
        try:
            with os.scandir(self._roots.base) as entries:
                return split_folders(entry.name for entry in entries if entry.is_dir())
        except OSError as error:
            raise local.failure(error, self._roots.base) from error

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)
