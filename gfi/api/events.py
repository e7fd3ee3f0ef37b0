"""Progress as server-sent events.

    GET /v1/jobs/{id}/events        event: progress   data: {"state": …, "progress": {…}}

One task a process reads the progress of every watched job, together, about once a second, and hands it to the streams;
a stream costs a queue, not a query. An event is sent when something changed, a comment every 15 s otherwise, and
`event: end` with the last one when the job has ended.
"""

from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from gfi.api.access import Reader
from gfi.api.context import ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.progress_hub import Hub
from gfi.api.requests import the_job

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["events"])


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses=documented(404, also={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}),
)
async def watch_job(
    job_id: Annotated[str, Path(min_length=1, max_length=64)], context: ContextDep, caller: Reader
) -> StreamingResponse:
    """Progress as server-sent events until the job has ended."""
    job = await run_in_threadpool(the_job, context, job_id)
    hub: Hub = context.hub
    if hub.streams >= context.api.max_streams:
        raise Refused(429, f"{context.api.max_streams} progress streams are open here")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(hub.stream(job.id), media_type="text/event-stream", headers=headers)
