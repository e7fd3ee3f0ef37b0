"""One failure among many rows: it is logged, and the others have their turn.

    for row in rows:
        with others_go_on("schedule not fired", schedule=row["name"]):
            fire(row)

The loops of the scheduler visit the work of everybody. Without this, one row that cannot be read would end the round at
that row, every second, and nothing behind it would be done any more.
"""

import contextlib
from collections.abc import Iterator

import structlog

from gfi.store.errors import StoreError, Transient

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def others_go_on(what: str, **names: object) -> Iterator[None]:
    """Log an error of the block as `what`, with `names`. Transient is raised: the database is away for the others
    too."""
    try:
        yield
    except Transient:
        raise
    except StoreError as error:
        log.warning(what, reason=str(error), **names)
    except Exception:
        log.exception(what, **names)
