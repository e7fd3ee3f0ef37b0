"""The masks of results, read from the parts in the bucket. The parts used last are kept in memory.

cache = PartCache(database, bucket)
explained = cache.explanation(result)      # explained.mask: (H, W) float32 at the network's input size
"""

import threading

from cachetools import LRUCache, cachedmethod

from gfi.domain.result import Result
from gfi.store import parts, queries
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.parts import Explained, Part

KEPT = 16
"""The number of parts. A part holds the masks of one shard, some tens of kilobytes."""


class PartCache:
    """Keeps the parts used last, `kept` of them. Thread-safe."""

    def __init__(self, database: Database, bucket: Bucket, kept: int = KEPT) -> None:
        self._database = database
        self._bucket = bucket
        self._parts: LRUCache[str, Part] = LRUCache(kept)
        self._lock = threading.Lock()

    @cachedmethod(lambda self: self._parts, key=lambda self, part_id: part_id, lock=lambda self: self._lock)
    def part(self, part_id: str) -> Part:
        """A part by id, its SHA-256 verified.

        Raises NotFound when the ledger or the bucket does not have it, StoreError when it is damaged.
        """
        record = queries.part_of(self._database, part_id)
        return parts.read(self._bucket.get(record.key), record.sha256)

    def explanation(self, result: Result) -> Explained | None:
        """The result with its geometry and its mask, from its part. None for a result without a part."""
        if result.part_id is None or result.part_row is None:
            return None
        return self.part(result.part_id).explanation(result.part_row)
