"""Progress streams: one poll of the ledger serves every stream of this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool

from gfi.api.schemas import ProgressOut
from gfi.domain.states import TERMINAL
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

EVERY_S = 1.0
COMMENT_S = 15.0
TOGETHER = 200  # jobs a query

Event = tuple[str, dict[str, Any]]


class Hub:
    """The streams of this process. Lives in the event loop; nothing here is called from threads."""

    def __init__(self, database: Callable[[], Database]) -> None:
        """database: opens it when first asked."""
        self._database = database
        self._watched: dict[str, set[asyncio.Queue[Event]]] = {}
        self._last: dict[str, Event] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(map(len, self._watched.values()))

    async def stream(self, job_id: str) -> AsyncIterator[str]:
        """The events of one job, as they go over the wire."""
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=8)
        self._watched.setdefault(job_id, set()).add(queue)
        if job_id in self._last:
            queue.put_nowait(self._last[job_id])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield "retry: 2000\n\n"
            while True:
                try:
                    kind, data = await asyncio.wait_for(queue.get(), COMMENT_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
                if kind == "end":
                    return
        finally:
            mine = self._watched.get(job_id, set())
            mine.discard(queue)
            if not mine:
                self._watched.pop(job_id, None)
                self._last.pop(job_id, None)

    async def _poll(self) -> None:
        """Read and hand out until nobody watches."""
        while self._watched:
            ids = sorted(self._watched)
            try:
                for begin in range(0, len(ids), TOGETHER):
                    found = await run_in_threadpool(self._read, ids[begin : begin + TOGETHER])
                    for job_id, event in found.items():
                        self._tell(job_id, event)
            except StoreError as error:
                log.warning("progress cannot be read", reason=str(error))
            await asyncio.sleep(EVERY_S)

    def _tell(self, job_id: str, event: Event) -> None:
        if self._last.get(job_id) == event or job_id not in self._watched:
            return
        self._last[job_id] = event
        for queue in self._watched[job_id]:
            if queue.full():  # a reader that does not keep up misses the oldest, never the newest
                queue.get_nowait()
            queue.put_nowait(event)

    def _read(self, ids: list[str]) -> dict[str, Event]:
        try:
            progress = dict(zip(ids, queries.jobs_progress(self._database(), ids), strict=True))
        except KeyError:  # one of them was deleted
            if len(ids) == 1:
                return {ids[0]: ("end", {"state": "deleted"})}
            return {job_id: event for each in ids for job_id, event in self._read([each]).items()}
        events: dict[str, Event] = {}
        for job_id, each in progress.items():
            shown = ProgressOut.of(each).model_dump()
            ended = each.state in TERMINAL
            data = {"state": each.state.value, "paused": each.paused, "progress": shown}
            events[job_id] = ("end" if ended else "progress", data)
        return events
