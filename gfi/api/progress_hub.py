"""Progress streams: one task per process reads the progress of all watched jobs for all streams.

It reads about once a second, many jobs in one query, so an additional stream needs a queue but no query.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool

from gfi.api.job_schemas import ProgressOut
from gfi.domain.states import TERMINAL
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

EVERY_S = 1.0
COMMENT_S = 15.0
JOBS_A_QUERY = 200

Event = tuple[str, dict[str, Any]]


class Hub:
    """The progress streams of this process. Used from the event loop only, never from a thread."""

    def __init__(self, database: Callable[[], Database]) -> None:
        """database: returns the database, opened when first needed."""
        self._database = database
        self._watched: dict[str, set[asyncio.Queue[Event]]] = {}
        self._last: dict[str, Event] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._watched.values()))

    def join(self, job_id: str) -> "asyncio.Queue[Event]":
        """Open a stream: from now on it counts. `leave` must follow."""
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=8)
        self._watched.setdefault(job_id, set()).add(queue)
        if job_id in self._last:
            queue.put_nowait(self._last[job_id])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        return queue

    def leave(self, job_id: str, queue: "asyncio.Queue[Event]") -> None:
        """Close a stream."""
        queues = self._watched.get(job_id, set())
        queues.discard(queue)
        if not queues:
            self._watched.pop(job_id, None)
            self._last.pop(job_id, None)

    async def events(self, queue: "asyncio.Queue[Event]") -> AsyncIterator[str]:
        """The events of a stream as text/event-stream, until its job has ended."""
        yield "retry: 2000\n\n"
        while True:
            try:
                kind, data = await asyncio.wait_for(queue.get(), COMMENT_S)
            except TimeoutError:
                yield ": no change\n\n"
                continue
            yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
            if kind == "end":
                return

    async def _poll(self) -> None:
        """Read progress and pass it to the streams, until no stream is left."""
        while self._watched:
            ids = sorted(self._watched)
            try:
                for begin in range(0, len(ids), JOBS_A_QUERY):
                    events = await run_in_threadpool(self._read, ids[begin : begin + JOBS_A_QUERY])
                    for job_id, event in events.items():
                        self._send(job_id, event)
            except StoreError as error:
                log.warning("progress cannot be read", reason=str(error))
            await asyncio.sleep(EVERY_S)

    def _send(self, job_id: str, event: Event) -> None:
        if self._last.get(job_id) == event or job_id not in self._watched:
            return
        self._last[job_id] = event
        for queue in self._watched[job_id]:
            if queue.full():  # a slow reader loses the oldest events, never the newest
                queue.get_nowait()
            queue.put_nowait(event)

    def _read(self, ids: list[str]) -> dict[str, Event]:
        try:
            progress = dict(zip(ids, queries.jobs_progress(self._database(), ids), strict=True))
        except KeyError:  # one of them was deleted
            if len(ids) == 1:
                return {ids[0]: ("end", {"state": "deleted"})}
            return {job_id: event for one in ids for job_id, event in self._read([one]).items()}
        events: dict[str, Event] = {}
        for job_id, known in progress.items():
            shown = ProgressOut.of(known).model_dump()
            data = {"state": known.state.value, "paused": known.paused, "progress": shown}
            events[job_id] = ("end" if known.state in TERMINAL else "progress", data)
        return events
