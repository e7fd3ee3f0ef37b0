"""Incidents: what went wrong with a shard, kept for people and for the decisions of the reaper."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.ids import new_id
from gfi.store.database import now
from gfi.store.tables import incidents


def add_incident(
    connection: sa.Connection,
    shard: sa.Row[Any],
    kind: str,
    *,
    suspects: Sequence[int] = (),
    reason: str | None = None,
    failure_class: str | None = None,
) -> None:
    """Record what went wrong with a leased shard, together with its present state.

    kind: death, release, failed or convicted.
    """
    connection.execute(
        sa.insert(incidents).values(
            id=new_id(),
            job_id=shard.job_id,
            shard_id=shard.id,
            fence=shard.fence,
            kind=kind,
            worker=shard.worker,
            start=shard.start,
            stop=shard.stop,
            suspects=list(suspects),
            alone=shard.alone,
            reason=reason,
            failure_class=failure_class,
            at=now(),
        )
    )
