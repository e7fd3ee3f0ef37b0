"""Liveness, readiness, and metrics for Prometheus."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel
from starlette.responses import JSONResponse

from gfi.api.access import Reader
from gfi.api.context import Context, ContextDep
from gfi.api.problems import documented
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.drift.verdicts import Verdict
from gfi.store import broker, queries
from gfi.store.database import check
from gfi.store.errors import StoreError

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: str = "alive"


class Ready(BaseModel):
    """`checks`: for each service `ok` or the error, without secrets."""

    ready: bool
    checks: dict[str, str]


@router.get("/livez")
def livez() -> Live:
    """Whether this process answers."""
    return Live()


@router.get("/readyz", responses={503: {"model": Ready, "description": "A service does not answer"}})
def readyz(context: ContextDep) -> Any:
    """Whether database, bucket and Redis answer, with the error of each that does not."""
    checks: dict[str, str] = {}

    def run(name: str, probe: Callable[[], object]) -> None:
        try:
            probe()
            checks[name] = "ok"
        except StoreError as error:
            checks[name] = str(error)

    run("database", lambda: check(context.database))
    run("bucket", lambda: context.bucket.clock_skew())
    run("redis", lambda: broker.ping(broker.make_celery(context.settings, "gfi-api-ready")))
    ready = all(answer == "ok" for answer in checks.values())
    body = Ready(ready=ready, checks=checks)
    return JSONResponse(body.model_dump(), 200 if ready else 503)


def _gauge(
    name: str, told: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]
) -> GaugeMetricFamily:
    """A metric with one value for each tuple of labels."""
    family = GaugeMetricFamily(name, told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


class _LedgerMetrics(Collector):
    """Metrics read from the ledger at each scrape."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _services(self) -> Iterator[GaugeMetricFamily]:
        """Whether database, bucket and Redis answer, and how long that takes."""
        context = self._context
        probes: dict[str, Callable[[], object]] = {
            "database": lambda: check(context.database),
            "bucket": lambda: context.bucket.clock_skew(),
            "redis": lambda: broker.ping(broker.make_celery(context.settings, "gfi-api-metrics")),
        }
        up: dict[tuple[str, ...], float] = {}
        seconds: dict[tuple[str, ...], float] = {}
        for name, probe in probes.items():
            began = time.perf_counter()
            try:
                probe()
                up[name,] = 1.0
            except StoreError:
                up[name,] = 0.0
            seconds[name,] = time.perf_counter() - began
        yield _gauge("gfi_service_up", "1 while the service answers, else 0.", ("service",), up)
        yield _gauge("gfi_service_seconds", "Time until it answered or failed.", ("service",), seconds)

    def _monitored(self) -> Iterator[GaugeMetricFamily]:
        """What `gfi.store.queries.monitored` reads."""
        seen = queries.monitored(self._context.database)
        yield _gauge(
            "gfi_oldest_waiting_seconds",
            "For how long the oldest shard or task of a queue could have been claimed.",
            ("queue",),
            {(queue,): seconds for queue, seconds in seen.oldest_waiting_s.items()},
        )
        yield _gauge(
            "gfi_leases_overdue",
            "Leases that ended and that no scheduler has taken away.",
            (),
            {(): float(seen.overdue)},
        )
        yield _gauge("gfi_oldest_lease_seconds", "Age of the oldest lease.", (), {(): seen.oldest_lease_s})
        yield _gauge(
            "gfi_incidents_last_hour",
            "Deaths, releases, failures and quarantines of shards in the last hour.",
            ("kind", "failure_class"),
            {key: float(number) for key, number in seen.incidents.items()},
        )
        yield _gauge(
            "gfi_messages_unsent",
            "Notifications that wait to be sent.",
            ("channel",),
            {(channel,): float(number) for channel, number in seen.unsent.items()},
        )
        yield _gauge(
            "gfi_oldest_message_seconds", "Age of the oldest of them.", (), {(): seen.oldest_unsent_s}
        )
        yield _gauge(
            "gfi_tasks",
            "Tasks by kind and state.",
            ("kind", "state"),
            {key: float(number) for key, number in seen.tasks.items()},
        )
        gates, lately = (dict.fromkeys(Verdict, 0) | counts for counts in (seen.gates, seen.gates_last_hour))
        for name, told, label, counts in (
            ("gfi_findings", "Findings of all audits by verdict.", "verdict", seen.findings),
            ("gfi_gates", "Comparisons with a gate by verdict.", "verdict", gates),
            (
                "gfi_gates_last_hour",
                "Comparisons with a gate that ended in the last hour.",
                "verdict",
                lately,
            ),
        ):
            yield _gauge(name, told, (label,), {(key,): float(number) for key, number in counts.items()})

    def collect(self) -> Any:
        """Called by Prometheus' registry."""
        yield from self._services()
        database = self._context.database
        yield from self._monitored()
        shards = GaugeMetricFamily(
            "gfi_shards", "Unfinished shards by queue and state.", labels=["queue", "state"]
        )
        for queue, counts in queries.waiting(database).items():
            for state, number in counts.items():
                shards.add_metric([queue, state], number)
        yield shards
        jobs = GaugeMetricFamily(
            "gfi_jobs", "Jobs by state; at most 1000 are counted for each.", labels=["state"]
        )
        running: list[queries.Job] = []
        for state in JobState:
            in_state = queries.list_jobs(database, state=state, limit=1000)
            jobs.add_metric([state], len(in_state))
            if state is JobState.RUNNING:
                running = in_state
        yield jobs
        images = GaugeMetricFamily("gfi_images", "Images of running jobs by status.", labels=["status"])
        left = GaugeMetricFamily("gfi_images_left", "Images of running jobs that have no result yet.")
        progress = [known for _, known in queries.with_progress(database, running)]
        for status in ImageStatus:
            images.add_metric([status], sum(job.by_status[status] for job in progress))
        left.add_metric([], sum((job.total or 0) - job.done for job in progress))
        yield images
        yield left
        rate = GaugeMetricFamily(
            "gfi_images_per_second", "Images per second of running jobs, over the last minutes."
        )
        rate.add_metric([], sum(job.rate or 0.0 for job in progress))
        yield rate
        workers = GaugeMetricFamily(
            "gfi_worker_up", "1 while the worker's heartbeat is recent, else 0.", labels=["worker", "device"]
        )
        known = queries.list_workers(database)
        for worker in known:
            workers.add_metric([worker.id, worker.device or ""], 1.0 if worker.alive else 0.0)
        yield workers
        alive = [worker for worker in known if worker.alive]
        taken = Counter(queue for worker in alive for queue in worker.queues or () if worker.state == "up")
        yield _gauge(
            "gfi_queue_workers",
            "Live workers that take from a queue and were not told to stop.",
            ("queue",),
            {(queue,): float(number) for queue, number in taken.items()},
        )
        for name, told, field, unit in (
            ("gfi_worker_images_per_second", "Images per second of a live worker.", "rate", 1.0),
            ("gfi_worker_memory_bytes", "Memory of a live worker.", "memory_mib", 2.0**20),
            ("gfi_worker_clock_skew_seconds", "Its clock less the database's.", "clock_skew_s", 1.0),
        ):
            values = {(one.id,): getattr(one, field) for one in alive if getattr(one, field) is not None}
            yield _gauge(name, told, ("worker",), {key: value * unit for key, value in values.items()})
        stages = CounterMetricFamily(
            "gfi_worker_stage_seconds_total",
            "Seconds of a live worker's threads in each stage of its shards, since it started.",
            labels=["worker", "stage"],
        )
        for worker in alive:
            for stage, seconds in ((worker.facts or {}).get("stage_s") or {}).items():
                stages.add_metric([worker.id, stage], seconds)
        yield stages


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=documented(), summary="Metrics for Prometheus"
)
def metrics(context: ContextDep, caller: Reader) -> Response:
    """Metrics in Prometheus' text format; needs the scope `read`."""
    registry = CollectorRegistry()
    registry.register(_LedgerMetrics(context))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
