"""What all scenarios share: the servers and photographs they run on, the row they return, and pauses."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gfi.store import queries
from tests.chaos.deployment import LEASE_S, Deployment
from tests.chaos.photographs import Photographs, make
from tests.chaos.servers import Servers
from tests.chaos.verify import Verdict, verify
from tests.speed import slowness

SLOW = {"step_s": 0.03}
"""A pace at which a shard of 64 images takes a second: long enough to be interrupted."""


def lease(full: bool) -> float:
    """Seconds. The short versions mostly wait for leases to expire."""
    return LEASE_S if full else 2.0 * slowness()


@dataclass(frozen=True)
class Row:
    """One line of benchmarks/results/chaos.json. `kills` counts every fault; `detail` has further numbers."""

    scenario: int
    seed: int
    images: int
    kills: int
    lost: int
    duplicates: int
    orphans: int
    recovery_median_s: float | None
    recovery_worst_s: float | None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


class World:
    """The servers, the photographs and their masks in an undisturbed run."""

    def __init__(self, servers: Servers, images: int) -> None:
        self.servers = servers
        self._images = images
        self._made: dict[str, Photographs] = {}
        self._undisturbed: dict[str, str] | None = None

    def photographs(self, count: int, poison: dict[int, str] | None = None) -> Photographs:
        """The first `count` photographs."""
        name = f"photographs-{count}" + "".join(f"-{key}" for key in sorted(poison or {}))
        if name not in self._made:
            self._made[name] = make(self.servers.directory / name, count, poison)
        return self._made[name]

    @property
    def undisturbed(self) -> dict[str, str]:
        """Masks by key, from a run without faults."""
        if self._undisturbed is None:
            everything = self.photographs(self._images)
            with Deployment(self.servers, "postgres") as deployment:
                deployment.start_all(2)
                job = deployment.submit(everything)
                deployment.wait(job, 300)
                self._undisturbed = verify(deployment, job, everything).masks
        return self._undisturbed


def row(
    scenario: int,
    seed: int,
    verdicts: Sequence[Verdict],
    kills: int,
    recoveries: Sequence[float],
    detail: str = "",
) -> Row:
    """A scenario's figures, from its jobs."""
    return Row(
        scenario=scenario,
        seed=seed,
        images=sum(verdict.images for verdict in verdicts),
        kills=kills,
        lost=sum(verdict.lost for verdict in verdicts),
        duplicates=sum(verdict.duplicates for verdict in verdicts),
        orphans=sum(verdict.orphans for verdict in verdicts),
        recovery_median_s=round(statistics.median(recoveries), 2) if recoveries else None,
        recovery_worst_s=round(max(recoveries), 2) if recoveries else None,
        detail=detail,
    )


def until_commit(deployment: Deployment, job: str, timeout: float = 90.0) -> float:
    """Seconds until the next commit of a job (0 when there is nothing more to commit)."""
    began, done = time.monotonic(), deployment.progress(job).done
    deployment.eventually(
        lambda: deployment.progress(job).done > done or queries.get_job(deployment.database, job).ended,
        timeout,
        "a commit",
    )
    return time.monotonic() - began
