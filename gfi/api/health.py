"""Liveness, readiness, and metrics for Prometheus."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel
from starlette.responses import JSONResponse

from gfi.api.access import Reader
from gfi.api.context import Context, ContextDep
from gfi.api.problems import documented
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
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


class _LedgerMetrics(Collector):
    """Metrics read from the ledger at each scrape."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Any:
        """Called by Prometheus' registry."""
        database = self._context.database
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
        running: list[str] = []
        for state in JobState:
            in_state = queries.list_jobs(database, state=state, limit=1000)
            jobs.add_metric([state], len(in_state))
            if state is JobState.RUNNING:
                running = [job.id for job in in_state]
        yield jobs
        images = GaugeMetricFamily("gfi_images", "Images of running jobs by status.", labels=["status"])
        left = GaugeMetricFamily("gfi_images_left", "Images of running jobs that have no result yet.")
        progress = queries.jobs_progress(database, running) if running else []
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
        for worker in queries.list_workers(database):
            workers.add_metric([worker.id, worker.device or ""], 1.0 if worker.alive else 0.0)
        yield workers


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=documented(), summary="Metrics for Prometheus"
)
def metrics(context: ContextDep, caller: Reader) -> Response:
    """Metrics in Prometheus' text format; needs the scope `read`."""
    registry = CollectorRegistry()
    registry.register(_LedgerMetrics(context))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
