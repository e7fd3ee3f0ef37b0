"""Cron lines in a time zone: when a line is due.

The instants are computed by cronsim, which follows Debian's cron when clocks change: 02:30 is due once in a night that
contains it twice, and once in a night that skips it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CATCH_UP = timedelta(days=2)
"""How far back missed instants are considered where they are too many to walk through all of them."""


def check(cron: str, zone: str) -> None:
    """Raise ValueError with advice unless the line and the zone can be read."""
    instants(cron, zone, datetime.now(UTC))


def zone_of(zone: str) -> ZoneInfo:
    """The zone. Raises ValueError with advice."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{zone!r} is not a time zone; use an IANA name, for example Europe/Berlin or UTC"
        ) from None


def instants(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The instants later than `after`, in UTC. Raises ValueError with advice."""
    place = zone_of(zone)
    try:
        instants = CronSim(cron, after.astimezone(place))
    except CronSimError as error:
        raise ValueError(
            f"{cron!r} is not a cron line: {error}; minute hour day month weekday, for example 0 2 * * 1-5"
        ) from None
    return (instant.astimezone(UTC) for instant in instants)
