"""Schedules that fire on data: the dataset is listed at the time of each firing, and a job follows if it has changed.

A listing that differs from that of the last firing must stay the same for `settle_s` seconds, so that uploads that are
half written wait. `schedules.watched` has what was seen:

    digest, images   of the last listing
    seen_at          when this listing was seen first, in epoch seconds
    fired            the digest of the listing for which a job was submitted last
    held             the listing, or the error, that was told to be held; none once a look finds neither
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from gfi.datasets.errors import DatasetError
from gfi.domain.digests import JSON, digest
from gfi.jobs.listing_writer import Most, write_listing
from gfi.jobs.schedules import spec_for_firing
from gfi.jobs.submit import Invalid, request_from
from gfi.jobs.timing import name_of
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.ledger.control import Write
from gfi.store.settings import Settings

Outcome = Literal["unchanged", "settling", "waits", "held", "fires"]


@dataclass(frozen=True)
class Seen:
    """A listing. images: how many; before: images of the schedule's last job with results, None without one."""

    digest: str
    images: int
    before: int | None = None

    @property
    def shrunk(self) -> bool:
        """Whether more than half of the images are gone."""
        return self.before is not None and 2 * self.images < self.before


def judged(
    watched: Mapping[str, Any] | None, seen: Seen, now: float, settle_s: float
) -> tuple[Outcome, JSON]:
    """What follows from a listing, and what is to be remembered. now: epoch seconds."""
    known = dict(watched or {})
    held = known.pop("held", None)  # over with this look, unless it is held too: the next one is told
    if known.get("digest") != seen.digest:
        known |= {"digest": seen.digest, "seen_at": now}
    known["images"] = seen.images
    if known.get("fired") == seen.digest:
        return "unchanged", known
    if now - known["seen_at"] < settle_s:
        return "settling", known
    if seen.shrunk:
        return ("waits" if held == seen.digest else "held"), known | {"held": seen.digest}
    return "fires", known


def look(
    database: Database, settings: Settings, schedule_id: str, check: Callable[[], None]
) -> tuple[JSON, Write]:
    """List the dataset of a schedule. Returns the result of the task, and what its end is to write: the firing, if any.

    check: called often; may raise to end it. NotFound if the schedule was removed. Raises Unavailable for another try.
    """
    row = queries.schedule_row(database, schedule_id)
    now = database.now()
    try:
        seen = _listed(database, settings, row, check)
    except Transient:  # Unavailable is one
        raise
    except (DatasetError, StoreError) as error:
        return _of_error(row, error, now, row["watched"])
    outcome, watched = judged(row["watched"], seen, now, row["settle_s"])
    if outcome == "fires" and row["overlap"] == "skip" and queries.active_job_of(database, schedule_id):
        outcome = "waits"  # the next look finds the same change
    if outcome == "held":
        spec: Any = Invalid(
            f"the dataset has {seen.images:,} images, fewer than half of the {seen.before:,} of the last job; "
            f"`gfi schedule run {row['name']} --yes` explains it all the same"
        )
    else:
        spec = spec_for_firing(database, settings, row, now) if outcome == "fires" else None
        if isinstance(spec, StoreError):  # each look would meet it again, and tell it
            return _of_error(row, spec, now, watched)

    def write(connection: sa.Connection) -> None:
        remembered = watched
        if spec is not None:
            fired = ledger.fire_in(
                connection,
                schedule_id,
                name_of(now),
                spec,
                overlap=row["overlap"],
                max_active_jobs=settings.max_active_jobs,
            )
            if fired is not None and fired.reason is None:
                remembered = watched | {"fired": seen.digest}
        ledger.remember_listing(connection, schedule_id, remembered)

    return {"outcome": outcome, "images": seen.images}, write


def _listed(
    database: Database, settings: Settings, row: Mapping[str, Any], check: Callable[[], None]
) -> Seen:
    last = queries.last_job(database, row["id"], finished=True)
    before = queries.get_job(database, last).total if last is not None else None
    most = Most(
        settings.max_images_per_job, f"the dataset has more than {settings.max_images_per_job:,} images"
    )
    with tempfile.TemporaryDirectory(prefix="gfi-look-") as folder:
        listing = write_listing(
            request_from(**row["request"]).dataset,
            settings,
            Path(folder) / "manifest.parquet",
            classes=None,
            most=most,
            check=check,
        )
    return Seen(listing.written.listing, listing.written.count, before)


def _of_error(
    row: Mapping[str, Any], error: DatasetError | StoreError, now: float, watched: Mapping[str, Any] | None
) -> tuple[JSON, Write]:
    """A dataset that cannot be listed, or a job that cannot be made: a firing that is held, told once for each
    error. watched: what is to be remembered otherwise."""
    known = dict(watched or {})
    told, key = (row["watched"] or {}).get("held"), digest(str(error))

    def write(connection: sa.Connection) -> None:
        if told != key:
            ledger.fire_in(connection, row["id"], name_of(now), Invalid(str(error)))
        ledger.remember_listing(connection, row["id"], known | {"held": key})

    return {"outcome": "waits" if told == key else "held", "reason": str(error)}, write
