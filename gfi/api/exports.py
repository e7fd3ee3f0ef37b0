"""Exports of a job's results to other tools."""

import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gfi.api.access import Caller, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, documented
from gfi.api.schemas import In
from gfi.api.tasks import TaskId
from gfi.datasets.sources import UPLOAD
from gfi.domain.states import ShardState
from gfi.exports.errors import ExportError
from gfi.exports.export import ExportOptions
from gfi.exports.formats import FORMATS, format_named, reads_photographs
from gfi.exports.pieces import CHUNK
from gfi.jobs import exports
from gfi.store.queries import Job, Task
from gfi.store.result_query import LONGEST

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
FormatName = StrEnum("FormatName", {name.replace("-", "_").upper(): name for name in FORMATS})  # type: ignore[misc]
_MEDIA = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
}
_BYTES = {"type": "string", "format": "binary"}
_JSON = {"type": ["object", "array"], "description": "COCO's document, or the list of Label Studio's tasks."}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            media: {"schema": _JSON if media == "application/json" else _BYTES} for media in _MEDIA.values()
        }
    }
}
_VIEW = "Which results: the query of GET /v1/jobs/ID/results, such as `status=ok&prediction=3`; `rows=1,5-9` selects."
_IMAGES = (
    "Written in front of the keys where a format refers to photographs. Default: where the dataset lies."
)
_PHOTOGRAPHS = "Put the photographs into the archive (cvat)."
Threshold = Annotated[
    float,
    Field(gt=0, lt=1, allow_inf_nan=False, description="The region of a mask is where it is at least this."),
]
Plain = r"^[^\x00]*$"


class ExportIn(In):
    """An export that is asked for."""

    format: FormatName
    view: Annotated[str, Field(max_length=LONGEST, pattern=Plain, description=_VIEW)] = ""
    threshold: Threshold = 0.5
    images: Annotated[str | None, Field(max_length=1000, pattern=Plain, description=_IMAGES)] = None
    photographs: Annotated[bool, Field(description=_PHOTOGRAPHS)] = False


class ExportOut(BaseModel):
    """An export that was asked for. `file`: where it can be downloaded, once it is done."""

    id: str
    job_id: str
    format: str
    view: str
    state: ShardState
    results: int | None
    bytes: int | None
    done: int | None = Field(description="Results that are read so far.")
    reason: str | None
    created_at: float
    file: str | None

    @classmethod
    def of(cls, task: Task) -> Self:
        """From the task that makes it."""
        result, job_id = task.result or {}, task.job_id or ""
        done = task.state is ShardState.DONE
        return cls(
            id=task.id,
            job_id=job_id,
            format=task.payload["format"],
            view=task.payload["view"],
            state=task.state,
            results=result.get("results"),
            bytes=result.get("bytes"),
            done=(task.progress or {}).get("done"),
            reason=task.reason,
            created_at=task.created_at,
            file=f"/v1/jobs/{job_id}/exports/{task.id}/file" if done else None,
        )


@router.get("/export", response_class=StreamingResponse, responses=documented(403, 404, 413, also=_FILE))
def download_export(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    output: Annotated[FormatName, Query(alias="format", description="The format.")],
    view: Annotated[str, Query(max_length=LONGEST, pattern=Plain, description=_VIEW)] = "",
    threshold: Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False)] = 0.5,
    images: Annotated[str | None, Query(max_length=1000, pattern=Plain, description=_IMAGES)] = None,
    photographs: Annotated[bool, Query(description=_PHOTOGRAPHS)] = False,
) -> StreamingResponse:
    """A small export, made at once. A larger one is refused with 413; `POST /v1/jobs/ID/exports` makes it as a task."""
    job = find_job(context, job_id)
    options = _options(job, caller, ExportOptions(output.value, view, threshold, images, photographs))
    folder = tempfile.TemporaryDirectory(prefix="gfi-export-")
    try:
        export = _checked(context, job, options)
        path = exports.write_small(export, Path(folder.name))
    except exports.TooLarge as error:
        folder.cleanup()
        raise Refused(413, str(error), "POST /v1/jobs/ID/exports makes it as a task.") from None
    except ExportError as error:
        folder.cleanup()
        raise Refused(422, str(error)) from None
    except BaseException:
        folder.cleanup()
        raise

    def chunks() -> Iterator[bytes]:
        with folder, path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    headers = {"Content-Length": str(path.stat().st_size)} | _named(job.id, options.format)
    return StreamingResponse(chunks(), media_type=_media(options.format), headers=headers)


@router.post("/exports", status_code=202, responses=documented(403, 404, also={200: {"model": ExportOut}}))
def request_export(
    job_id: JobId, body: ExportIn, context: ContextDep, caller: Submitter, response: Response
) -> ExportOut:
    """Request an export of any size; a control worker makes it. 200 with the one that is being made already."""
    job = find_job(context, job_id)
    given = ExportOptions(body.format.value, body.view, body.threshold, body.images, body.photographs)
    options = _options(job, caller, given)
    try:
        task_id, created = exports.request_export(
            context.database, context.settings, context.bucket, job.id, options, caller.name
        )
    except ExportError as error:
        raise Refused(422, str(error)) from None
    response.status_code = 202 if created else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}/exports/{task_id}"
    return ExportOut.of(exports.export_of(context.database, task_id, job.id))


@router.get("/exports", responses=documented(404))
def list_exports(job_id: JobId, context: ContextDep, caller: Reader) -> list[ExportOut]:
    """The exports that were requested, newest first; the last hundred."""
    job = find_job(context, job_id)
    return [ExportOut.of(task) for task in exports.list_exports(context.database, job.id)]


@router.get("/exports/{task_id}", responses=documented(404))
def get_export(job_id: JobId, task_id: TaskId, context: ContextDep, caller: Reader) -> ExportOut:
    """One export that was requested. `DELETE /v1/tasks/ID` cancels it, `POST /v1/tasks/ID/retry` tries again."""
    return ExportOut.of(exports.export_of(context.database, task_id, find_job(context, job_id).id))


@router.get(
    "/exports/{task_id}/file",
    response_class=StreamingResponse,
    responses=documented(403, 404, 409, also={**_FILE, 206: {"description": "A part of it"}}),
)
def download_file(
    job_id: JobId, task_id: TaskId, request: Request, context: ContextDep, caller: Reader
) -> StreamingResponse:
    """The file of an export that is done. A download that broke off goes on with the header `Range`."""
    job = find_job(context, job_id)
    task = exports.export_of(context.database, task_id, job.id)
    if task.state is not ShardState.DONE:
        raise Refused(409, f"the export is {task.state}", "Wait until its state is `done`.")
    options = _options(job, caller, ExportOptions.from_json(task.payload))
    key = exports.export_key(job.id, task.id, options.format)
    part = context.bucket.stream(key, request.headers.get("range"))
    headers = {"Content-Length": str(part.length), "Accept-Ranges": "bytes"} | _named(job.id, options.format)
    if part.range is not None:
        headers["Content-Range"] = part.range
    status = 200 if part.range is None else 206
    return StreamingResponse(part.chunks, status, headers=headers, media_type=_media(options.format))


def _options(job: Job, caller: Caller, options: ExportOptions) -> ExportOptions:
    """The options, if the caller may have them: photographs that were uploaded are their owner's."""
    if job.config.dataset.spec.startswith(UPLOAD) and reads_photographs(options.format, options.photographs):
        caller.require_owner(job.owner)
    return options


def _checked(context: Context, job: Job, options: ExportOptions) -> exports.Export:
    try:
        return exports.open_export(context.database, context.settings, context.bucket, job.id, options)
    except ExportError as error:
        raise Refused(422, str(error)) from None


def _named(job_id: str, output: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{exports.file_name(job_id, output)}"'}


def _media(output: str) -> str:
    return _MEDIA[format_named(output).ending]
