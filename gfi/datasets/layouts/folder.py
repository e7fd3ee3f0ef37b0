"""A folder of photographs, or of class folders.

    photos/cat.jpg, photos/2019/dog.jpg                 kind `folder`: no labels
    photos/n02123045/1.jpg, photos/n02102040/2.jpg      kind `classes`: label = the first folder's name

Keys are paths below the root with `/`, sorted. Both read every level; hidden files are skipped; a link
that leads outside is an error, not a hole in the dataset.
"""

from collections.abc import Iterator

from gfi.datasets.listing import Fetched, Listed, fetched, or_empty
from gfi.datasets.media import local


class Folder:
    """kind: `folder` or `classes`."""

    def __init__(self, kind: str, roots: local.Roots):
        roots.require_folder()
        self.kind, self.spec, self._roots = kind, f"{kind}:{roots.base}", roots

    def describe(self) -> str:
        return f"{'class folders in' if self.kind == 'classes' else 'folder'} {self._roots.base}"

    def list(self) -> Iterator[Listed]:
        return or_empty(self._list(), self._roots.base)

    def _list(self) -> Iterator[Listed]:
        for key, status in local.walk(self._roots, self._roots.base):
            label = key.partition("/")[0] if self.kind == "classes" and "/" in key else None
            yield Listed(key, status.st_size, local.version_of(status), label)

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        data, seen = local.read(self._roots.locate(key))
        return fetched(data, seen, version)
