"""Images like a given one, by their masks or by the network's features, from the parts of the job.

Similarity is the cosine: of two masks x·y / ‖x‖‖y‖ over their grids, of two images the same over the features that
parts of format 2 keep, projected so that angles are nearly kept (`gfi.domain.projection`). One request reads at most
MOST results and for at most SECONDS; of a larger job it reads every n-th part, and says how many images it compared.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gfi.domain.records import CommittedPart
from gfi.domain.result import Result
from gfi.store import parts, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache

By = Literal["mask", "features"]
MOST = 100_000
SECONDS = 5.0
_THREADS = 4
_SPARE = 4
"""Times as many are kept as asked for, because some have been replaced by a later attempt."""
Place = tuple[str, int]
"""A part and a row of it."""


@dataclass(frozen=True)
class Similar:
    """images: the results and their similarity in [−1, 1], the most similar first. compared: how many results were.
    of: how many the job's parts have, also those without. complete: whether every part was read."""

    images: list[tuple[Result, float]]
    compared: int
    of: int
    complete: bool


def find_similar(
    database: Database,
    bucket: Bucket,
    cache: PartCache,
    job_id: str,
    result: Result,
    by: By,
    limit: int,
    *,
    most: int = MOST,
    seconds: float = SECONDS,
) -> Similar:
    """The results of the job that are most similar to `result`, without itself.

    Raises NotFound where `result` has no mask or no features. Results of other sizes of grid are not compared.
    """
    explained = cache.explanation(result)
    wanted = None if explained is None else _vector(explained.result, by)
    if wanted is None:
        what = (
            "mask" if by == "mask" else 'features, which parts keep since format 2 unless `features = "none"`'
        )
        raise NotFound(f"image {result.row} has no {what}")
    known = queries.parts_of_results(database, job_id)
    total = sum(part.rows for part in known)
    chosen = known[:: max(1, -(-total // most))]
    best: list[tuple[float, Place]] = []
    compared = read = 0
    end = time.monotonic() + seconds
    for part, (rows, vectors) in _read(bucket, chosen, by, result, len(wanted)):
        compared += len(rows)
        for similarity, row in zip(_cosines(vectors, wanted), rows, strict=True):
            entry = (float(similarity), (part.id, int(row)))
            if entry[1] == (result.part_id, result.part_row):
                continue
            if len(best) < _SPARE * limit:
                heapq.heappush(best, entry)
            elif entry > best[0]:
                heapq.heapreplace(best, entry)
        read += 1
        if time.monotonic() > end:
            break
    found = queries.results_at(database, job_id, [place for _, place in best])
    ordered = [
        (found[place], similarity) for similarity, place in sorted(best, reverse=True) if place in found
    ]
    return Similar(ordered[:limit], compared, total, read == len(known))


def _vector(result: Result, by: By) -> NDArray[np.float32] | None:
    value = result.grid if by == "mask" else result.features
    return None if value is None else np.asarray(value, np.float32).ravel()


def _read(
    bucket: Bucket, chosen: Sequence[CommittedPart], by: By, like: Result, width: int
) -> Iterator[tuple[CommittedPart, tuple[NDArray[np.int64], NDArray[np.float32]]]]:
    """Of each part the rows (n,) that can be compared and their vectors (n, width); a few parts are read ahead."""

    def vectors(part: CommittedPart) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        try:
            return _vectors(parts.read(bucket.get(part.key), part.sha256), by, like, width)
        except Transient:
            raise
        except StoreError:  # a part that is gone or damaged: its images are not compared
            return np.empty(0, np.int64), np.empty((0, width), np.float32)

    waiting = iter(chosen)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(waiting, 2 * _THREADS)):
            yield from zip(some, threads.map(vectors, some), strict=True)


def _vectors(
    part: parts.Part, by: By, like: Result, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    column, kind, size = ("grid", "<f4", 4) if by == "mask" else ("features", "<f2", 2)
    names = ["method", "target_rank", column, *(["grid_height"] if by == "mask" else [])]
    table = part.columns(names).to_pydict()
    height = like.grid.shape[0] if by == "mask" and like.grid is not None else None
    rows = [
        row
        for row, data in enumerate(table[column])
        if data is not None
        and len(data) == size * width
        and table["method"][row] == like.method
        and table["target_rank"][row] == like.target_rank
        and (height is None or table["grid_height"][row] == height)
    ]
    data = b"".join(table[column][row] for row in rows)
    return np.array(rows, np.int64), np.frombuffer(data, kind).astype(np.float32).reshape(len(rows), width)


def _cosines(vectors: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted)
    return (vectors @ wanted) / np.maximum(lengths, np.float32(1e-12))
