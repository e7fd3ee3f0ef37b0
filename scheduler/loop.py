"""The scheduler: a loop of ticks, each with a few short transactions.

    expire leases → fire schedules → finish jobs → begin what follows them → regular chores → publish hints

Any number of schedulers may run; there is no leader. Every step is a guarded state change in the ledger, so that it
happens once even if two schedulers attempt it. A tick does not list, upload or compute: that is done by control tasks.

The ledger decides what is due, and Redis only carries hints. If Redis is away, emptied or full, work is only delayed:
hints that were not published, or not followed by a claim within a lease, are published again.
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
from gfi.jobs import follow_ups
from gfi.store import ledger, tracing
from gfi.store.broker import make_celery, publish
from gfi.store.database import Database, check
from gfi.store.errors import StoreError, Transient
from gfi.store.heartbeat import touch
from gfi.store.logs import configure_logs
from gfi.store.settings import Settings
from scheduler.schedules import fire_due

log = structlog.get_logger(__name__)

REDIS_PAUSE_S = 2.0
"""While Redis is away a tick does not publish; publishing is tried again after this many seconds."""
AWAY_PAUSE_S = 2.0
"""Pause in seconds after a tick during which the database was away."""
OBSERVE_S = 1.0
CHORES_PAUSE_S = 30.0
"""Seconds between two rounds of the chores that are not needed at every tick."""
FORGET_WORKERS_S = 86_400.0
"""A worker without a heartbeat for this many seconds is removed from the list of workers."""


class Scheduler:
    """Its state is in the ledger. The object itself only stores when to try Redis and the chores again."""

    def __init__(self, settings: Settings, database: Database, celery: Celery) -> None:
        self._settings = settings
        self._database = database
        self._celery = celery
        self._publish_after = 0.0
        self._chores_after = 0.0

    def tick(self) -> None:
        """One round. Raises Transient if the database is away; any other failure of a step does not affect the other
        steps."""
        for step in (self._reap, self._fire, self._finish, self._follow, self._chores, self._dispatch):
            try:
                step()
            except Transient:
                raise
            except StoreError as error:
                log.warning("step failed", step=step.__name__, reason=str(error))
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

    def _follow(self) -> None:
        for begun in follow_ups.follow(self._database):
            log.info("follow-up begun", **begun)

    def _chores(self) -> None:
        if time.monotonic() < self._chores_after:
            return  # counting a million parts takes some time
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
        with tracing.span("hint", hint.job_id, queue=hint.queue, id=hint.id):
            if hint.queue == CONTROL_QUEUE:
                publish(self._celery, CONTROL, [hint.id], hint.queue)
            else:
                publish(self._celery, EXPLAIN, [hint.queue, hint.id], hint.queue)


def run(settings: Settings, pause_s: float) -> None:
    """Repeat: tick, then pause for `pause_s`, until SIGTERM or SIGINT. While the database restarts, or has no tables of
    this version yet, the loop waits."""
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
    upgraded = False
    while not ended.is_set():
        try:
            if not upgraded:
                check(database)
                upgraded = True
            scheduler.tick()
        except StoreError as error:
            log.warning("waiting", reason=str(error))
            ended.wait(AWAY_PAUSE_S)
        touch(settings.alive_file)
        ended.wait(pause_s)
    observer.join(OBSERVE_S)
    log.info("scheduler stopped")
    database.dispose()


def _observe_time(database: Database, ended: threading.Event) -> None:
    """In a separate thread, so that a slow tick is not mistaken for an outage, during which no lease may expire."""
    while not ended.wait(OBSERVE_S):
        with contextlib.suppress(StoreError):
            ledger.observe_time(database)
