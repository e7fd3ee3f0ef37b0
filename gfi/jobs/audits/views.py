"""Photographs as the network saw them, by row of the manifest. Loads no torch."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from PIL import Image

from gfi.datasets.decode import decode_for
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Entry, Manifest
from gfi.datasets.sources import Source
from gfi.domain.errors import MethodError
from gfi.domain.job import JobConfig
from gfi.domain.preprocess import Preprocess, view
from gfi.store.errors import StoreError

KEPT = 1000
THREADS = 4
ROUND = 32
"""Photographs between two checks."""


class Missing(Exception):
    """Rows whose photographs cannot be used: changed since they were explained, or not readable."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(f"{len(rows)} photographs cannot be used")
        self.rows = tuple(rows)


class Views:
    """Reads photographs and keeps the last ones.

    why: the reasons of those that cannot be used, counted. check: called after each photograph. most: how many are
    kept.
    """

    def __init__(
        self,
        source: Source,
        manifest: Manifest,
        preprocess: Preprocess,
        config: JobConfig,
        check: Callable[[], None] = lambda: None,
        most: int = KEPT,
    ) -> None:
        self._source, self._manifest = source, manifest
        self._preprocess, self._recipe, self._check = preprocess, config.recipe, check
        self._kept: LRUCache[int, NDArray[np.uint8]] = LRUCache(most)
        self._missing: dict[int, str] = {}

    @property
    def why(self) -> dict[str, int]:
        """How many photographs could not be used, by reason: changed, unreadable."""
        return dict(Counter(self._missing.values()))

    def __call__(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The views (n, H, W, 3) of these rows.

        Raises Missing, which names every row that cannot be used; Unavailable while the storage is away.
        """
        wanted = [int(row) for row in rows]
        height, width = self._preprocess.size
        out = np.zeros((len(wanted), height, width, 3), np.uint8)
        missing = [row for row in wanted if row in self._missing]
        unread = sorted({row for row in wanted if row not in self._kept and row not in self._missing})
        fresh: dict[int, NDArray[np.uint8]] = {}
        listed = self._manifest.pick(unread)
        with ThreadPoolExecutor(THREADS) as threads:
            while entries := list(islice(listed, ROUND)):
                for entry, shown in zip(entries, threads.map(self._read, entries), strict=True):
                    self._check()
                    if isinstance(shown, str):
                        self._missing[entry.row] = shown
                        missing.append(entry.row)
                    else:
                        fresh[entry.row] = shown
        if not missing:
            for place, row in enumerate(wanted):
                out[place] = fresh[row] if row in fresh else self._kept[row]
        self._kept.update(fresh)
        if missing:
            raise Missing(missing)
        return out

    def _read(self, entry: Entry) -> NDArray[np.uint8] | str:
        try:
            fetched = self._source.fetch(entry.key, entry.version)
            if fetched.changed:
                return "changed"
            decoded = decode_for(fetched.data, self._preprocess)
            shown, _ = view(Image.fromarray(decoded.rgb), self._preprocess, self._recipe)
            return np.asarray(shown.convert("RGB"), np.uint8)
        except (Unavailable, StoreError):
            raise
        except (DatasetError, MethodError, OSError):
            return "unreadable"
