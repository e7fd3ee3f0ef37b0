"""Flags for many images at once: those of a query, of a view, or chosen rows."""

from collections.abc import Sequence
from dataclasses import replace

from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger import Flagged
from gfi.store.queries import Job
from gfi.store.result_query import ResultQuery, filters_of, view_of

MOST = 10_000
"""Images that one call flags."""


def flag_images(
    database: Database,
    job: Job,
    wanted: ResultQuery | str | Sequence[int],
    flag: str | None,
    note: str = "",
    *,
    owner: str,
    of_anyone: bool,
) -> Flagged:
    """Set the flag and the note of the images that `wanted` names: a query, a view as people name it, or rows.

    A flag of None removes both. Unless `of_anyone`, flags of other users are not changed. Raises ValueError for more
    than MOST images and for what is no query, NotFound for an unknown view.
    """
    if isinstance(wanted, str):
        wanted = view_of(database, job, wanted)
    if isinstance(wanted, ResultQuery):
        filters = filters_of(database, job, wanted)
    else:
        filters = replace(filters_of(database, job, ResultQuery()), rows=tuple(wanted))
    rows = queries.rows_of(database, job.id, filters, MOST + 1)
    if len(rows) > MOST:
        raise ValueError(f"more than {MOST:,} images match; filter further, or flag them in several steps")
    return ledger.set_flags(database, job.id, rows, flag, note, owner, of_anyone=of_anyone)
