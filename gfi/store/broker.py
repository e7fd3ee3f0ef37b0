"""Celery over Redis, set up as this house needs it: Redis carries hints, the database holds the truth.

What was measured shaped these settings (celery 5.7, kombu 5.7):

- kombu takes a message and notes it as unacknowledged in two steps: 11 of 12,000 were lost over 35
  `kill -9`s. So nothing relies on a message arriving; the scheduler publishes again what nobody claimed.
- The visibility timeout is never renewed: a 14 s task under 5 s ran three times at once. Claims are fenced,
  and the timeout is far above the longest shard, so that this stays rare.
- After FLUSHALL, publishing through a named exchange was accepted and dropped. Queues have plain names and
  messages go straight to them.
- An acknowledgement that fails because Redis is away is never made up for, and kombu counts its message against the
  prefetch limit as long as the connection lasts: with a limit of 1 a worker that ended a shard just then was
  connected and asked for nothing any more. So there is no such limit; `worker_disable_prefetch` counts the tasks
  themselves. (120 restarts under load, 119 failed acknowledgements: all heard again, within 3.5 s.)
- A frozen Redis blocks a publisher for the socket timeout: five seconds, not for ever.
- No result backend, no chords, no ETA: what came of a task is in the ledger.

With no worker about, messages would pile up at every re-dispatch; `publish` leaves a queue alone that is
long enough.
"""

import ssl
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.store.database import safe_url
from gfi.store.errors import StoreError, Transient, one_line
from gfi.store.settings import Settings

SOCKET_TIMEOUT_S = 5.0
VISIBILITY_TIMEOUT_S = 6 * 3600
LONGEST_QUEUE = 1000


def make_celery(settings: Settings, name: str, *, include: Sequence[str] = ()) -> Celery:
    """The application of a worker or a publisher called `name`; connects on first use.

    `include`: modules with tasks, imported by the worker.
    """
    if not settings.redis_url:
        raise StoreError("nothing is running: gfi up -d (or set GFI_REDIS_URL)")
    tls: dict[str, Any] = {}
    if settings.redis_url.startswith("rediss:") and "ssl_cert_reqs" not in settings.redis_url:
        tls["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}  # kombu's default checks nothing
    app = Celery(name, broker=settings.redis_url, include=list(include), set_as_current=False)
    app.conf.update(
        # JSON and nothing else: whoever can write to Redis must not run code here.
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        task_default_queue=EXPLAIN_QUEUE,
        task_create_missing_queues=True,
        # One message at a time, taken when there is a hand free, acknowledged when it is done.
        task_acks_late=True,
        task_acks_on_failure=True,
        worker_prefetch_multiplier=0,  # no limit: see above
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Redis could otherwise be used to command workers, and its keys would grow with them.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_timeout=SOCKET_TIMEOUT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for Redis as long as it takes
        broker_channel_error_retry=True,
        broker_pool_limit=2,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # For publishers: try once more, then say so. (Workers reconnect by the settings above.)
            "max_retries": 1,
            "interval_start": 0.0,
            "interval_step": 0.1,
            "interval_max": 0.1,
        },
        **tls,
    )
    return app


def publish(app: Celery, task: str, args: Sequence[Any], queue: str) -> bool:
    """Send one hint. False when `queue` is so long already that it can only be waiting for workers.

    Raises Transient, within some ten seconds, when Redis is away, frozen or full.
    """
    try:
        if queue_length(app, queue) >= LONGEST_QUEUE:
            return False
        app.send_task(task, args=list(args), queue=queue, retry=False, ignore_result=True)
    except (KombuError, RedisError, OSError) as error:
        raise Transient(f"{redact(app.conf.broker_url)} is not answering: {one_line(error)}") from None
    return True


def queue_length(app: Celery, queue: str) -> int:
    """Messages waiting in a queue. Raises Redis' and kombu's own errors."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        return int(channel.client.llen(queue))


def ping(app: Celery) -> None:
    """Raise Transient, with the reason in one line, unless Redis answers."""
    try:
        with app.connection_for_write() as connection, connection.channel() as channel:
            channel.client.ping()
    except (KombuError, RedisError, OSError) as error:
        raise Transient(f"{redact(app.conf.broker_url)} is not answering: {one_line(error)}") from None


def redact(url: str) -> str:
    """A broker or database URL without its password, for messages and logs."""
    return safe_url(url)
