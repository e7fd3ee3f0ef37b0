"""Is it alive, is it ready, and the figures for Prometheus."""

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
    """This process answers."""

    status: str = "alive"


class Ready(BaseModel):
    """`checks`: each service, `ok` or what is wrong with it, in words without secrets."""

    ready: bool
    checks: dict[str, str]


@router.get("/livez")
def livez() -> Live:
    """This process answers."""
    return Live()


@router.get("/readyz", responses={503: {"model": Ready, "description": "Something is away"}})
def readyz(context: ContextDep) -> Any:
    """Whether database, bucket and Redis answer; what is wrong when they do not."""
    checks: dict[str, str] = {}

    def look(name: str, probe: Any) -> None:
        try:
            probe()
            checks[name] = "ok"
        except StoreError as error:
            checks[name] = str(error)

    look("database", lambda: check(context.database))
    look("bucket", lambda: context.bucket.clock_skew())
    look("redis", lambda: broker.ping(broker.make_celery(context.settings, "gfi-api-ready")))
    ready = all(said == "ok" for said in checks.values())
    body = Ready(ready=ready, checks=checks)
    return JSONResponse(body.model_dump(), 200 if ready else 503)


class _Figures(Collector):
    """What the ledger knows, read when it is asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Any:
        """Prometheus' hook."""
        database = self._context.database
        shards = GaugeMetricFamily(
            "gfi_shards", "Shards under way by queue and state.", labels=["queue", "state"]
        )
        for queue, counts in queries.waiting(database).items():
            for state, number in counts.items():
                shards.add_metric([queue, state], number)
        yield shards
        jobs = GaugeMetricFamily("gfi_jobs", "Jobs by state (at most 1000 a state).", labels=["state"])
        active = []
        for state in JobState:
            found = queries.list_jobs(database, state=state, limit=1000)
            jobs.add_metric([state], len(found))
            if state is JobState.RUNNING:
                active = [job.id for job in found]
        yield jobs
        images = GaugeMetricFamily("gfi_images", "Images of running jobs by status.", labels=["status"])
        left = GaugeMetricFamily("gfi_images_left", "Images of running jobs without a result.")
        progress = queries.jobs_progress(database, active) if active else []
        for status in ImageStatus:
            images.add_metric([status], sum(each.by_status[status] for each in progress))
        left.add_metric([], sum((each.total or 0) - each.done for each in progress))
        yield images
        yield left
        rate = GaugeMetricFamily("gfi_images_per_second", "Of running jobs, over the last minutes.")
        rate.add_metric([], sum(each.rate or 0.0 for each in progress))
        yield rate
        workers = GaugeMetricFamily(
            "gfi_worker_up", "1 for a worker heard of lately.", labels=["worker", "device"]
        )
        for worker in queries.list_workers(database):
            workers.add_metric([worker.id, worker.device or ""], 1.0 if worker.alive else 0.0)
        yield workers


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=documented(), summary="Figures for Prometheus"
)
def metrics(context: ContextDep, caller: Reader) -> Response:
    """Figures for Prometheus, in its text format; needs the scope `read`."""
    registry = CollectorRegistry()
    registry.register(_Figures(context))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
