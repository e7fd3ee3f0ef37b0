"""The progress of a job as server-sent events.

    GET /v1/jobs/{id}/events        event: progress   data: {"state": …, "progress": {…}}

An event is sent when the progress has changed, a comment after 15 s without one, and `event: end` with the last
progress when the job has ended.
"""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from gfi.api.access import Reader
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, documented
from gfi.api.progress_hub import Hub

router = APIRouter(prefix="/v1/jobs", tags=["events"])
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


class _Stream(StreamingResponse):
    """The stream of one job, which leaves the hub however the response ends."""

    def __init__(self, hub: Hub, job_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._hub, self._job_id, self._queue = hub, job_id, hub.join(job_id)
        super().__init__(hub.events(self._queue), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._job_id, self._queue)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses=documented(404, also={200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}}}),
)
async def watch_job(job_id: JobId, context: ContextDep, caller: Reader) -> StreamingResponse:
    """Progress as server-sent events until the job has ended."""
    job = await run_in_threadpool(find_job, context, job_id)
    # Nothing is awaited between this check and the stream's entry in the hub, so that no burst exceeds the limit.
    if context.hub.streams >= context.api.max_streams:
        raise Refused(429, f"all {context.api.max_streams} progress streams of this process are in use")
    return _Stream(context.hub, job.id)
