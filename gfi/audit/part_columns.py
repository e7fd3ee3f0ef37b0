"""What the audit reads of a part, as columns: no object for each image, so a million results take minutes.

Only results that have a mask of their own count: the primary method, the first class (or each label), and a status
whose mask says something. `target_lost` and `not_settled` count too: a mask that keeps a small mark and little else
often loses the target, and such images would be the ones left out. What is left out is counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gfi.audit.explained import Explained
from gfi.audit.grids import resized
from gfi.audit.split import in_screening_half
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.pixel_properties import PROPERTIES
from gfi.domain.statuses import ImageStatus
from gfi.store.parts import Part, pixel_column

USED = frozenset({ImageStatus.OK, ImageStatus.TARGET_LOST, ImageStatus.NOT_SETTLED})
"""The statuses whose masks are audited."""
_SHAPE = ("grid_height", "grid_width")
_VIEW = ("box", "original_height", "original_width")
_WHAT = ("row", "method", "target_rank", "key", "target", "prediction", "status", "iterations", "grid")
_NAMES = (*_WHAT, *_SHAPE, *_VIEW)


@dataclass(frozen=True)
class PartColumns:
    """rows (N,) of the manifest, keys, classes (N,) explained, grids (N, cells, cells); left_out: of the others.

    sizes (N, 2): H, W of the photographs; views (N, 4): the part of each that the network saw, left, top, right, bottom
    in its pixels; NaN where the part does not say. iterations: the optimiser's steps, summed.

    pixels: the properties of `gfi.domain.pixel_properties`, (N,) each, NaN where an image does not have one; none where
    the part has none (format 1). features: (N, d) float16, NaN where an image has none; None where the part has none,
    and comparable only between parts with an equal `PartHeader.features`.
    """

    rows: NDArray[np.int64]
    keys: tuple[str, ...]
    classes: NDArray[np.int64]
    grids: NDArray[np.float32]
    left_out: int
    sizes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)), repr=False)
    views: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)), repr=False)
    iterations: int = 0
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    """Where each image is among the rows that were asked for (N,)."""
    pixels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    features: NDArray[np.float16] | None = None
    predictions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    """The class each image is taken for (N,); −1 where the part does not say."""


def part_columns(
    part: Part, cells: int = 14, rows: Sequence[int] | None = None, firsts: Sequence[int] | None = None
) -> PartColumns:
    """The columns of a part, with all grids brought to `cells`×`cells`. rows: of the file; None for all.

    firsts: where each label of an image is a result that counts, the row of the file of the image's first one, −1 where
    it is in another file; what is measured of a photograph is stored there.
    """
    chosen = np.arange(len(part)) if rows is None else np.asarray(rows, np.int64)
    measured = chosen if firsts is None else np.asarray(firsts, np.int64)
    table = part.take(chosen, _NAMES)
    column = {name: table.column(name).to_pylist() for name in _NAMES}
    primary = [
        m == PRIMARY_METHOD and (r == 0 or firsts is not None)
        for m, r in zip(column["method"], column["target_rank"], strict=True)
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
        np.array(
            [(column["original_height"][i] or np.nan, column["original_width"][i] or np.nan) for i in kept],
            np.float64,
        ).reshape(-1, 2),
        np.array([column["box"][i] or (np.nan,) * 4 for i in kept], np.float64).reshape(-1, 4),
        sum(column["iterations"][i] or 0 for i in kept),
        np.array(kept, np.int64),
        _pixels(part, measured[kept]),
        _features(part, measured[kept]),
        np.array([-1 if (k := column["prediction"][i]) is None else k for i in kept], np.int64),
    )


def _pixels(part: Part, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    if part.header.schema_version < 2:
        return {}
    table = part.take(np.maximum(rows, 0), [pixel_column(name) for name in PROPERTIES])
    return {
        # null is NaN
        name: np.where(rows < 0, np.nan, table.column(pixel_column(name)).to_numpy().astype(np.float64))
        for name in PROPERTIES
    }


def _features(part: Part, rows: NDArray[np.int64]) -> NDArray[np.float16] | None:
    if part.header.features is None:
        return None
    stored = part.take(np.maximum(rows, 0), ["features"]).column("features").to_pylist()
    missing = np.full(part.header.features["values"], np.nan, "<f2").tobytes()
    data = b"".join(
        missing if one is None or row < 0 else one for one, row in zip(stored, rows.tolist(), strict=True)
    )
    return np.frombuffer(data, "<f2").reshape(len(rows), -1) if len(rows) else None


def joined(read: Sequence[PartColumns], cells: int = 14) -> PartColumns:
    """Several parts as one, in the order of their rows.

    What one part has and another has not (properties and features of the formats before 2) is NaN there. Features of
    another width than the first are left out: they are of another network or setting.
    """
    if not read:
        empty = np.zeros(0, np.int64)
        return PartColumns(empty, (), empty, np.zeros((0, cells, cells), np.float32), 0)
    rows = np.concatenate([one.rows for one in read])
    order = np.argsort(rows, kind="stable")
    keys = [key for one in read for key in one.keys]
    names = [name for name in PROPERTIES if any(name in one.pixels for one in read)]
    unknown = [np.full(len(one.rows), np.nan) for one in read]
    width = next((one.features.shape[1] for one in read if one.features is not None), 0)
    features = [
        one.features
        if one.features is not None and one.features.shape[1] == width
        else np.full((len(one.rows), width), np.nan, np.float16)
        for one in read
    ]
    return PartColumns(
        rows[order],
        tuple(keys[i] for i in order),
        np.concatenate([one.classes for one in read])[order],
        np.concatenate([one.grids for one in read])[order],
        sum(one.left_out for one in read),
        np.concatenate([one.sizes for one in read])[order],
        np.concatenate([one.views for one in read])[order],
        sum(one.iterations for one in read),
        pixels={
            name: np.concatenate(
                [one.pixels.get(name, missing) for one, missing in zip(read, unknown, strict=True)]
            )[order]
            for name in names
        },
        features=np.concatenate(features)[order] if width else None,
        predictions=np.concatenate([one.predictions for one in read])[order],
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
