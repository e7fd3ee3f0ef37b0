"""The scheduler: one tick after the other, each a handful of short transactions.

    expire leases → fire schedules → finish jobs → regular chores → publish hints

Any number of schedulers may run; there is no leader. Every step is a guarded state change in the ledger, so that two
schedulers that do the same do it once. A tick lists, uploads and computes nothing: those are control tasks.

The ledger decides what is due and Redis only carries hints. A Redis that is away, emptied or full therefore costs a
delay: what was not published, or not claimed within a lease, is published again.
"""

import contextlib
import signal
import threading
import time
from types import FrameType

import structlog
from celery import Celery

from gfi.domain.queues import CONTROL, CONTROL_QUEUE, EXPLAIN
from gfi.domain.records import Hint
from gfi.store import ledger
from gfi.store.broker import make_celery, publish
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.logs import configure_logs
from gfi.store.settings import Settings
from scheduler.schedules import fire_due

log = structlog.get_logger(__name__)

REDIS_PAUSE_S = 2.0
"""While Redis is away a tick does all but publish, which it tries again after this long."""
AWAY_PAUSE_S = 2.0
"""After a tick for which the database was away."""
OBSERVE_S = 1.0
CHORES_PAUSE_S = 30.0
"""Between two rounds of what need not happen at every tick."""
FORGET_WORKERS_S = 86_400.0
"""A worker that has been silent for so long leaves the list of workers."""


class Scheduler:
    """Its state is in the ledger. What it remembers itself is only when to try Redis and the chores again."""

    def __init__(self, settings: Settings, database: Database, celery: Celery) -> None:
        self._settings = settings
        self._database = database
        self._celery = celery
        self._publish_after = 0.0
        self._chores_after = 0.0

    def tick(self) -> None:
        """One round. Raises Transient when the database is away; a step that fails otherwise spares the others."""
        for step in (self._reap, self._fire, self._finish, self._chores, self._dispatch):
            try:
                step()
            except Transient:
                raise
            except Exception:
                log.exception("step failed", step=step.__name__)

    def _fire(self) -> None:
        fire_due(self._database, self._settings)

    def _reap(self) -> None:
        for expired in ledger.expire_leases(self._database):
            log.warning("lease expired", **expired.__dict__)
        for task_id in ledger.expire_control(self._database):
            log.warning("control lease expired", task=task_id)

    def _finish(self) -> None:
        for finished in ledger.finish_jobs(self._database):
            log.info("job finished", job=finished.job_id, state=str(finished.state))

    def _chores(self) -> None:
        if time.monotonic() < self._chores_after:
            return  # counting parts takes a moment once there are a million
        self._chores_after = time.monotonic() + CHORES_PAUSE_S
        ledger.request_lists(self._database)
        if self._settings.sweep_every_s:
            ledger.request_sweep(self._database, self._settings.sweep_every_s)
        ledger.forget_workers(self._database, FORGET_WORKERS_S)

    def _dispatch(self) -> None:
        if time.monotonic() < self._publish_after:
            return
        hints = ledger.dispatch(self._database, self._settings.window, self._settings.lease_s)
        unpublished: list[Hint] = []
        for hint in hints:
            if not unpublished:
                try:
                    self._publish(hint)
                    continue
                except StoreError as error:
                    log.warning("redis is away", reason=str(error))
                    self._publish_after = time.monotonic() + REDIS_PAUSE_S
            unpublished.append(hint)
        if unpublished:
            ledger.undispatch(self._database, unpublished)

    def _publish(self, hint: Hint) -> None:
        if hint.queue == CONTROL_QUEUE:
            publish(self._celery, CONTROL, [hint.id], hint.queue)
        else:
            publish(self._celery, EXPLAIN, [hint.queue, hint.id], hint.queue)


def run(settings: Settings, pause_s: float) -> None:
    """Tick, pause for `pause_s`, and so on until SIGTERM or SIGINT. A database that restarts is waited for."""
    configure_logs()
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    database = Database(settings.require_database())
    observer = threading.Thread(target=_observe_time, args=(database, ended), name="observe", daemon=True)
    observer.start()
    scheduler = Scheduler(settings, database, make_celery(settings, "gfi-scheduler"))
    log.info("scheduler started", database=database.safe_url, pause_s=pause_s)
    while not ended.is_set():
        try:
            scheduler.tick()
        except Transient as error:
            log.warning("waiting", reason=str(error))
            ended.wait(AWAY_PAUSE_S)
        ended.wait(pause_s)
    observer.join(OBSERVE_S)
    log.info("scheduler stopped")
    database.dispose()


def _observe_time(database: Database, ended: threading.Event) -> None:
    """In a thread of its own, so that a slow tick does not pass for an outage, in which no lease may run out."""
    while not ended.wait(OBSERVE_S):
        with contextlib.suppress(StoreError):
            ledger.observe_time(database)
