"""Notices a worker that has gone deaf: Redis holds messages for it, it has nothing to do, and takes none.

Seen with celery 5.7 and kombu 5.7 after Redis was killed and restarted under load, about once in thirty times: all
workers were connected again, their event loops turned, and none of them had asked for a message (431 were waiting).
Nothing is lost by it, since the ledger knows what is to be done, but nothing is done either. Such a process ends
itself, and its supervisor starts another.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import structlog
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from store.broker import queue_length

log = structlog.get_logger(__name__)

PATIENCE_S = 20.0
DEAF_EXIT = 75  # EX_TEMPFAIL: start it again


class Hearing:
    """One a worker process. patience_s: how long it may be idle beside waiting messages; end: what to do then."""

    def __init__(
        self,
        app: Celery,
        *,
        patience_s: float = PATIENCE_S,
        end: Callable[[], None] = lambda: os._exit(DEAF_EXIT),
    ) -> None:
        self._app = app
        self._patience_s = patience_s
        self._end = end
        self._busy = 0
        self._heard_at = time.monotonic()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Around every task: a worker at work need not listen."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._heard_at = time.monotonic()

    def watch(self, stop: threading.Event) -> None:
        """Look every quarter of the patience, in a thread of its own, until `stop`."""
        threading.Thread(target=self._watch, args=(stop,), name="hearing", daemon=True).start()

    def _watch(self, stop: threading.Event) -> None:
        self._heard_at = time.monotonic()
        waited = 0
        while not stop.wait(self._patience_s / 4):
            idle = not self._busy and time.monotonic() - self._heard_at > self._patience_s
            # Twice in a row: a message that has just arrived is not one that was not heard.
            waited = waited + 1 if idle and self._messages_wait() else 0
            if waited >= 2 and not self._busy:
                log.error("deaf: Redis has messages for this worker and it takes none; ending it")
                self._end()
                return

    def _messages_wait(self) -> bool:
        try:
            return any(queue_length(self._app, queue) for queue in self._app.amqp.queues.consume_from)
        except (KombuError, RedisError, OSError):
            return False  # Redis is away: nobody hears anything
