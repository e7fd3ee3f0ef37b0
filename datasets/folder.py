"""A folder of photographs, or of class folders.

    photos/cat.jpg, photos/2019/dog.jpg                 kind `folder`: no labels
    photos/n02123045/1.jpg, photos/n02102040/2.jpg      kind `classes`: label = the first folder's name

Keys are paths below the root with `/`, sorted. Both read every level; hidden files are skipped; a link
that leads outside is an error, not a hole in the dataset.
"""

from collections.abc import Iterator
from pathlib import Path

from datasets import files
from datasets.errors import DatasetError
from datasets.listing import Fetched, Listed, drain, fetched, is_image, nothing_in


class Folder:
    """kind: `folder` or `classes`."""

    def __init__(self, spec: str, roots: files.Roots, kind: str = "folder"):
        self.spec, self.kind, self._roots = spec, kind, roots
        if not roots.base.is_dir():
            raise DatasetError(
                f"{roots.base} is not a folder" if roots.base.exists() else f"{roots.base} does not exist"
            )

    def describe(self) -> str:
        return f"{'class folders in' if self.kind == 'classes' else 'folder'} {self._roots.base}"

    def list(self) -> Iterator[Listed]:
        return drain(self._list(), self._roots.base)

    def _list(self) -> Iterator[Listed]:
        for key, status in files.walk(self._roots, self._roots.base):
            label = key.partition("/")[0] if self.kind == "classes" and "/" in key else None
            yield Listed(key, status.st_size, files.version_of(status), label)

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = files.read(self._roots.locate(key))
        return fetched(data, seen, version)


def holds_classes(root: Path) -> bool:
    """A folder is taken for class folders when it holds no image itself but folders that do."""
    try:
        children = [child for child in root.iterdir() if not child.name.startswith(".")]
        if any(is_image(child.name) and child.is_file() for child in children):
            return False
        folders = [child for child in children if child.is_dir()]
    except OSError as error:
        raise files.failure(error, root) from error
    if not folders:
        raise DatasetError(nothing_in(root))
    return True
