"""Celery over Redis: Redis carries hints, the database is the source of truth.

The settings follow from measurements (celery 5.7, kombu 5.7):

- kombu takes a message and records it as unacknowledged in two steps: 11 of 12,000 messages were lost over 35
  `kill -9`s. So nothing relies on the arrival of a message; the scheduler publishes unclaimed work again.
- The visibility timeout is never renewed: a task of 14 s under a timeout of 5 s ran three times at once. Claims are
  fenced, and the timeout is far above the longest shard, so that this stays rare.
- After FLUSHALL, messages published through a named exchange were accepted and dropped. Queues have plain names, and
  messages are sent to them directly.
- An acknowledgement that fails because Redis is away is never repeated, and kombu counts its message against the
  prefetch limit as long as the connection lasts: with a limit of 1, a worker that ended a shard at that moment stayed
  connected and never asked for another message. So there is no prefetch limit; `worker_disable_prefetch` counts the
  tasks themselves. (120 restarts under load, 119 failed acknowledgements: every worker received messages again within
  3.5 s.)
- A frozen Redis blocks a publisher for the socket timeout, which is five seconds.
- A message that is not in Celery's format (anybody with the password can write one) ended every worker that took it,
  one after the other. `Channel` drops it and says so.
- No result backend, no chords, no ETA: the outcome of a task is in the ledger.

Without workers every re-dispatch would make the queue longer, so `publish` adds nothing to a queue that already holds
enough messages.
"""

import ssl
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import RedisError

from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.store.database import safe_url
from gfi.store.errors import StoreError, Transient, one_line
from gfi.store.settings import Settings

SOCKET_TIMEOUT_S = 5.0
VISIBILITY_TIMEOUT_S = 6 * 3600
LONGEST_QUEUE = 1000
log = structlog.get_logger(__name__)


class Channel(redis.Channel):
    """kombu's, whose workers do not end over what cannot be read as a message."""

    def _brpop_read(self, **options: Any) -> bool:
        try:
            taken: bool = super()._brpop_read(**options)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            # kombu has taken it from the queue before it read it, so it is gone.
            log.warning(
                "dropped a message that is not in Celery's format",
                error=f"{type(error).__name__}: {one_line(error)}",
            )
            return True
        return taken


class Transport(redis.Transport):
    """kombu's, with our channels."""

    Channel = Channel


# By the scheme of its URL Celery finds the transport; it has no setting that says another class for both schemes.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))


def make_celery(settings: Settings, name: str, *, include: Sequence[str] = ()) -> Celery:
    """The Celery application of a worker or a publisher called `name`; connects on first use.

    `include`: modules with tasks, imported by the worker.
    """
    if not settings.redis_url:
        raise StoreError("nothing is running: gfi up -d (or set GFI_REDIS_URL)")
    tls: dict[str, Any] = {}
    if settings.redis_url.startswith("rediss:") and "ssl_cert_reqs" not in settings.redis_url:
        tls["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}  # not verified by default
    app = Celery(name, broker=settings.redis_url, include=list(include), set_as_current=False)
    app.conf.update(
        # JSON only: write access to Redis must not be enough to run code in a worker.
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        task_default_queue=EXPLAIN_QUEUE,
        task_create_missing_queues=True,
        # A worker takes one message when it is idle and acknowledges it when the task is done.
        task_acks_late=True,
        task_acks_on_failure=True,
        worker_prefetch_multiplier=0,  # no limit: see above
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Otherwise workers could be controlled through Redis, and its keys would grow with the number of workers.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_timeout=SOCKET_TIMEOUT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for Redis without a time limit
        broker_channel_error_retry=True,
        broker_pool_limit=2,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # For publishers: one more attempt, then an error. (Workers reconnect by the settings above.)
            "max_retries": 1,
            "interval_start": 0.0,
            "interval_step": 0.1,
            "interval_max": 0.1,
        },
        **tls,
    )
    return app


def publish(app: Celery, task: str, args: Sequence[Any], queue: str) -> bool:
    """Send one hint. Returns False and sends nothing when `queue` already holds LONGEST_QUEUE messages.

    Raises Transient, within about ten seconds, when Redis is away, frozen or full.
    """
    try:
        if queue_length(app, queue) >= LONGEST_QUEUE:
            return False
        app.send_task(task, args=list(args), queue=queue, retry=False, ignore_result=True)
    except (KombuError, RedisError, OSError) as error:
        raise Transient(f"{redact(app.conf.broker_url)} is not answering: {one_line(error)}") from None
    return True


def queue_length(app: Celery, queue: str) -> int:
    """The number of messages in a queue. Raises the errors of redis-py and kombu."""
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
