"""The Celery application of the explaining workers.

    celery -A workers.app worker --queues explain,interactive --pool threads --concurrency 1

One process per device and one shard at a time: `gfi worker` starts exactly that, with CUDA_VISIBLE_DEVICES set before
Python. The thread pool keeps the process answering while the optimiser runs, and CUDA cannot be forked into.

    GFI_DEVICE   cpu (default) or cuda:0
    GFI_THREADS  CPU threads of the optimiser; part of the execution profile
    GFI_DTYPE    float32 (default), bfloat16 or tf32, with +graphs for CUDA graphs; likewise
"""

import os
from functools import cache
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutting_down

from gfi import __version__
from gfi.store.broker import make_celery
from gfi.store.heartbeat import machine_facts, start_heartbeat
from gfi.store.logs import configure_logs
from gfi.store.settings import Settings
from workers.handlers import HANDLERS
from workers.services import WorkerServices

log = structlog.get_logger(__name__)
configure_logs()
app = make_celery(Settings.load().require_stack(), "gfi-workers", include=["workers.tasks"])


@cache
def services() -> WorkerServices:
    """This process's services, opened at first use."""
    threads = os.environ.get("GFI_THREADS")
    return WorkerServices(
        Settings.load(),
        os.environ.get("GFI_DEVICE", "cpu"),
        int(threads) if threads else None,
        os.environ.get("GFI_DTYPE", "float32"),
    )


@worker_ready.connect
def _ready(**_: Any) -> None:
    own = services()
    facts = machine_facts() | own.device_facts() | {"tasks": sorted(HANDLERS)}
    log.info("worker ready", worker=own.name, device=own.device, version=__version__)
    start_heartbeat(
        own.database,
        device=own.device_kind,
        queues=app.amqp.queues.consume_from,
        version=__version__,
        shutdown=own.shutdown,
        facts=facts,
        doing=lambda: {
            "shard_id": own.shard_id,
            "rate": own.rate.per_second(),
            "facts": facts | {"stage_s": own.stages.seconds()},
        },
        alive_file=own.settings.alive_file,
    )


@worker_shutting_down.connect
def _shutting_down(sig: str = "", **_: Any) -> None:
    """SIGTERM: the running shard ends at its next step and commits what is finished."""
    log.info("worker stopping", signal=sig)
    services().shutdown.set()
