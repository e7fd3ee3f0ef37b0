"""Counts, means, histograms and the class table of a job, from the sums that commits maintain; no result is read."""

from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.sums import NumberSums, Sums
from gfi.store.database import Database
from gfi.store.tables import masks_due, result_sums

if TYPE_CHECKING:
    from gfi.domain.mean_masks import MeanMasks


def job_sums(db: Database, job_id: str, *, cells: bool = False) -> Sums:
    """The sums over all current results of a job, as of one moment. cells: with those of the class table."""
    pieces = _pieces(db, job_id, cells)
    sums = next(pieces, None) or Sums()
    for piece in pieces:
        sums += piece
    return sums


def _pieces(db: Database, job_id: str, cells: bool) -> Iterator[Sums]:
    # One statement sees one state of the table, so a merge that runs meanwhile changes nothing here.
    chosen = [result_sums.c.totals, result_sums.c.cells if cells else sa.null()]
    query = sa.select(*chosen).where(result_sums.c.job_id == job_id)
    with db.read() as connection:
        for totals, of_cells in connection.execute(query, execution_options={"yield_per": 100}):
            yield Sums.unpacked(totals, of_cells)


_MOST_JOBS = 64
_MOST_NAMES = 20_000
"""Labels and pieces of a job that is kept; those of a larger one are read each time."""
_LABELS: "OrderedDict[str, tuple[frozenset[str], frozenset[str]]]" = OrderedDict()
"""Of the jobs that were asked for last: the pieces that were read, and their labels. A piece never changes."""
_LABELS_LOCK = Lock()


def job_labels(db: Database, job_id: str) -> frozenset[str]:
    """The labels of a job's results; of each piece of its sums they are read once by a process, unless there are very
    many."""
    with _LABELS_LOCK:
        read, labels = _LABELS.get(job_id, (frozenset(), frozenset()))
    mine = result_sums.c.job_id == job_id
    # As of one moment, because a merge removes pieces, and may do so between their names and their cells.
    with db.read(snapshot=True) as connection:
        pieces = frozenset(connection.execute(sa.select(result_sums.c.piece).where(mine)).scalars())
        new = sorted(pieces - read)
        for start in range(0, len(new), 100):
            chosen = mine & result_sums.c.piece.in_(new[start : start + 100])
            for cells in connection.execute(sa.select(result_sums.c.cells).where(chosen)).scalars():
                labels |= {str(label) for label in Sums.labels_in(cells) if label is not None}
    with _LABELS_LOCK:
        _LABELS.pop(job_id, None)
        if len(pieces) + len(labels) <= _MOST_NAMES:
            _LABELS[job_id] = pieces, labels
        while len(_LABELS) > _MOST_JOBS:
            _LABELS.popitem(last=False)
    return labels


def means(db: Database, job_id: str, *, method: str = PRIMARY_METHOD) -> dict[str, NumberSums]:
    """The means of a job by number; without numbers that no image has."""
    return job_sums(db, job_id).numbers(method)


def mean_masks(db: Database, job_id: str) -> "MeanMasks":
    """The mean masks of a job and of its classes; no part is read.

    Until the report of the job is written, masks of replaced results are still in them, and those of carried results
    are not: `count_masks_due` together. Not in them are results of earlier versions.
    """
    from gfi.domain.mean_masks import MeanMasks

    masks = MeanMasks()
    query = sa.select(result_sums.c.masks).where(
        result_sums.c.job_id == job_id, result_sums.c.masks.is_not(None)
    )
    with db.read() as connection:
        for (data,) in connection.execute(query, execution_options={"yield_per": 50}):
            masks += MeanMasks.unpacked(data)
    return masks


def count_masks_due(db: Database, job_id: str) -> int:
    """How many masks `mean_masks` still has of replaced results, or has not yet of carried ones."""
    query = sa.select(sa.func.count()).select_from(masks_due).where(masks_due.c.job_id == job_id)
    with db.read() as connection:
        return connection.execute(query).scalar_one()
