"""When a schedule fires: at the times of a cron line in a zone, or at an interval.

Times are of the database's clock. The instant at which a firing was due is its name, so a clock that is set back fires
nothing again, and any number of schedulers fire each instant once.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal

from gfi.jobs import cron

Misfire = Literal["latest", "skip", "all"]
"""What becomes of firings that were missed because no scheduler ran: the latest fires once, none, or all."""
Overlap = Literal["skip", "queue", "cancel"]
"""What becomes of a firing while the job of an earlier one is active: it is skipped, waits, or cancels that job."""
Trigger = Literal["time", "model", "data"]
"""time: each firing submits a job; model: only if the weights are others than those of its last job; data: only if the
dataset's listing is another one, and has stayed the same for a while."""
MISSED_S = 60.0
"""A firing that is later than this many seconds was missed."""
MOST_MISSED = 1000
_WALKED = 20_000
"""Instants of a cron line that are walked through after an outage; of more, only those of the last two days count."""


@dataclass(frozen=True)
class Timing:
    """A cron line in a zone, or an interval counted from `start` (epoch seconds)."""

    cron: str
    zone: str
    every_s: float | None = None
    start: float = 0.0

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Timing":
        """Of a row of table `schedules`."""
        return cls(row["cron"], row["zone"], row["every_s"], row["created_at"])

    def check(self) -> None:
        """Raises ValueError with advice unless it can be read."""
        if self.every_s is None:
            cron.check(self.cron, self.zone)

    def after(self, instant: float) -> Iterator[float]:
        """The firings later than `instant`, in epoch seconds."""
        if self.every_s is None:
            return (
                due.timestamp()
                for due in cron.instants(self.cron, self.zone, datetime.fromtimestamp(instant, UTC))
            )
        return self._intervals(instant)

    def _intervals(self, instant: float) -> Iterator[float]:
        assert self.every_s is not None
        number = max(0, math.floor((instant - self.start) / self.every_s)) + 1
        while True:
            due = self.start + number * self.every_s
            if due > instant:
                yield due
            number += 1

    def next_due(self, instant: float) -> float | None:
        """The first firing later than `instant`; None when there is none."""
        return next(self.after(instant), None)

    def next_firings(self, instant: float, number: int) -> list[float]:
        """The next few firings."""
        return list(islice(self.after(instant), number))

    def due(self, since: float, now: float, most: int) -> tuple[list[float], int]:
        """The firings in (since, now]: the last `most` of them, and how many there are."""
        found: deque[float] = deque(maxlen=max(1, most))
        number = 0
        for instant in self.after(since):
            if instant > now:
                break
            if number == _WALKED and since < now - cron.CATCH_UP.total_seconds():
                return self.due(now - cron.CATCH_UP.total_seconds(), now, most)
            found.append(instant)
            number += 1
        return list(found), number


def shown(instant: float, zone: str) -> str:
    """The instant in the zone, for names and reasons."""
    place = cron.zone_of(zone)
    return f"{datetime.fromtimestamp(instant, place):%Y-%m-%d %H:%M}"


def name_of(instant: float) -> str:
    """The name of the firing that is due at this instant."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=instant)).isoformat()
