"""Cron lines in a time zone: when a line is next due, and when it was last due.

The instants are computed by cronsim, which follows Debian's cron when clocks change: 02:30 is due once in a night that
contains it twice, and once in a night that skips it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CATCH_UP = timedelta(days=2)
"""How far back missed instants are considered, so that a monthly schedule fires after an outage at the end of a
month."""


def check(cron: str, zone: str) -> None:
    """Raise ValueError with advice unless the line and the zone can be read."""
    _instants(cron, zone, datetime.now(UTC))


def next_due(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first instant later than `after`, in UTC; None when there is none."""
    return next(_instants(cron, zone, after), None)


def last_due(cron: str, zone: str, since: datetime, now: datetime) -> datetime | None:
    """The latest instant in (max(since, now − CATCH_UP), now], in UTC; None when there is none."""
    latest = None
    for instant in _instants(cron, zone, max(since, now - CATCH_UP)):
        if instant > now:
            break
        latest = instant
    return latest


def _instants(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{zone!r} is not a time zone; use an IANA name, for example Europe/Berlin or UTC"
        ) from None
    try:
        instants = CronSim(cron, after.astimezone(place))
    except CronSimError as error:
        raise ValueError(
            f"{cron!r} is not a cron line: {error}; minute hour day month weekday, for example 0 2 * * 1-5"
        ) from None
    return (instant.astimezone(UTC) for instant in instants)
