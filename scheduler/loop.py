"""The scheduler: a loop of ticks, each with a few short transactions.

    expire leases → finish jobs → begin what follows them → regular chores → publish hints

Schedules are fired by a thread of their own: a firing opens its dataset, and a store that does not answer takes half a
minute to say so, for which no lease and no hint may wait.

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
from gfi.jobs import follow_ups, routing
from gfi.store import ledger, tracing
from gfi.store.broker import make_celery, publish
from gfi.store.database import Database, check
from gfi.store.errors import StoreError
from gfi.store.heartbeat import touch
from gfi.store.logs import configure_logs
from gfi.store.others_go_on import others_go_on
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
        steps = (self._reap, self._reap_tasks, self._finish, self._follow, self._chores, self._dispatch)
        for step in steps:
            with others_go_on("step failed", step=step.__name__):
                step()

    def _reap(self) -> None:
        for expired in ledger.expire_leases(self._database):
            log.warning("lease expired", **expired.__dict__)

    def _reap_tasks(self) -> None:
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
        for chore in (
            ledger.request_lists,
            self._request_sweep,
            self._move_back,
            self._forget_workers,
            ledger.forget_looks,
            ledger.forget_messages,
        ):
            with others_go_on("chore failed", chore=chore.__name__):
                chore(self._database)

    def _request_sweep(self, database: Database) -> None:
        if self._settings.sweep_every_s:
            ledger.request_sweep(database, self._settings.sweep_every_s)

    def _forget_workers(self, database: Database) -> None:
        ledger.forget_workers(database, FORGET_WORKERS_S)

    def _move_back(self, database: Database) -> None:
        for job_id, queue in routing.move_back(database):
            log.info("job moved", job=job_id, queue=queue)

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
    firing = threading.Thread(
        target=_fire_schedules, args=(database, settings, ended, pause_s), name="fire", daemon=True
    )
    scheduler = Scheduler(settings, database, make_celery(settings, "gfi-scheduler"))
    log.info("scheduler started", database=database.safe_url, pause_s=pause_s)
    upgraded = False
    while not ended.is_set():
        try:
            if not upgraded:
                check(database)
                upgraded = True
                firing.start()
            scheduler.tick()
        except StoreError as error:
            log.warning("waiting", reason=str(error))
            ended.wait(AWAY_PAUSE_S)
        touch(settings.alive_file)
        ended.wait(pause_s)
    observer.join(OBSERVE_S)
    if upgraded:
        firing.join(OBSERVE_S)  # one that waits for a store is given up: what it did not fire stays due
    log.info("scheduler stopped")
    database.dispose()


def _observe_time(database: Database, ended: threading.Event) -> None:
    """In a separate thread, so that a slow tick is not mistaken for an outage, during which no lease may expire."""
    while not ended.wait(OBSERVE_S):
        with contextlib.suppress(StoreError), others_go_on("time not observed"):
            ledger.observe_time(database)


def _fire_schedules(database: Database, settings: Settings, ended: threading.Event, pause_s: float) -> None:
    waits: dict[str, float] = {}
    while not ended.wait(pause_s):
        try:
            fire_due(database, settings, waits)
        except StoreError as error:
            log.warning("no schedule fired", reason=str(error))
            ended.wait(AWAY_PAUSE_S)
        except Exception:
            log.exception("no schedule fired")
            ended.wait(AWAY_PAUSE_S)
