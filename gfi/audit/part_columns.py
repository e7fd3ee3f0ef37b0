"""What the audit reads of a part, as columns: no object for each image, so a million results take minutes.

Only results that have a mask of their own count: the primary method, the first class, and a status whose mask says
something. `target_lost` and `not_settled` count too: a mask that keeps a small mark and little else often loses the
target, and such images would be the ones left out. What is left out is counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.grids import resized
from gfi.audit.plan import Explained
from gfi.audit.split import in_screening_half
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.statuses import ImageStatus
from gfi.store.parts import Part

USED = frozenset({ImageStatus.OK, ImageStatus.TARGET_LOST, ImageStatus.NOT_SETTLED})
"""The statuses whose masks are audited."""
_NAMES = ("row", "method", "target_rank", "key", "target", "status", "grid", "grid_height", "grid_width")


@dataclass(frozen=True)
class PartColumns:
    """rows (N,) of the manifest, keys, classes (N,) explained, grids (N, cells, cells); left_out: of the others."""

    rows: NDArray[np.int64]
    keys: tuple[str, ...]
    classes: NDArray[np.int64]
    grids: NDArray[np.float32]
    left_out: int


def part_columns(part: Part, cells: int = 14) -> PartColumns:
    """The columns of a part, with all grids brought to `cells`×`cells`."""
    table = part.take(np.arange(len(part)), _NAMES)
    column = {name: table.column(name).to_pylist() for name in _NAMES}
    primary = [
        m == PRIMARY_METHOD and r == 0 for m, r in zip(column["method"], column["target_rank"], strict=True)
    ]
    kept = [
        i
        for i, (mine, status, target, grid) in enumerate(
            zip(primary, column["status"], column["target"], column["grid"], strict=True)
        )
        if mine and status in USED and target is not None and grid is not None
    ]
    grids = np.zeros((len(kept), cells, cells), np.float32)
    shapes = [(column["grid_height"][i], column["grid_width"][i]) for i in kept]
    for shape in set(shapes):
        at = [position for position, own in enumerate(shapes) if own == shape]
        data = b"".join(column["grid"][kept[position]] for position in at)
        grids[at] = resized(np.frombuffer(data, "<f4").reshape(len(at), *shape), cells)
    return PartColumns(
        np.array([column["row"][i] for i in kept], np.int64),
        tuple(column["key"][i] for i in kept),
        np.array([column["target"][i] for i in kept], np.int64),
        grids,
        sum(primary) - len(kept),
    )


def explained(parts: Iterable[PartColumns], secret: str) -> Explained:
    """Parts together, with their halves: for a dataset, or the classes of it, that fit in memory.

    Raises ValueError where no part has a mask.
    """
    read = [p for p in parts if len(p.rows)]
    if not read:
        raise ValueError("no result has a mask to audit; `gfi job` says what became of the images")
    keys = tuple(key for p in read for key in p.keys)
    return Explained(
        np.concatenate([p.classes for p in read]),
        np.concatenate([p.grids for p in read]),
        in_screening_half(keys, secret),
        None,
        keys,
    )
