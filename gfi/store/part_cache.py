"""Masks of results: from the ledger's row to the part in the bucket to the grid, a few parts kept at hand.

shelf = Shelf(database, bucket)
row, mask = shelf.explanation(result)      # mask (H, W) float32 at the network's input size
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.store import parts, queries
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.parts import Part, PartRow

KEPT = 16  # parts; one holds a shard's masks, some tens of kilobytes


class Shelf:
    """Parts read lately. Thread-safe."""

    def __init__(self, database: Database, bucket: Bucket) -> None:
        self._database = database
        self._bucket = bucket
        self._parts: OrderedDict[str, Part] = OrderedDict()
        self._lock = threading.Lock()

    def part(self, part_id: str) -> Part:
        """A part by id, verified. NotFound when ledger or bucket do not have it, StoreError when it is damaged."""
        with self._lock:
            if part_id in self._parts:
                self._parts.move_to_end(part_id)
                return self._parts[part_id]
        record = queries.part_of(self._database, part_id)
        part = parts.read(self._bucket.get(record.key), record.sha256)
        with self._lock:
            self._parts[part_id] = part
            while len(self._parts) > KEPT:
                self._parts.popitem(last=False)
        return part

    def explanation(self, result: Mapping[str, Any]) -> tuple[PartRow | None, NDArray[np.float32] | None]:
        """The part row of a result and its mask (H, W); (None, None) for a result without a part."""
        if result.get("part_id") is None or result.get("part_row") is None:
            return None, None
        part = self.part(result["part_id"])
        return part.row(result["part_row"]), part.mask(result["part_row"])
