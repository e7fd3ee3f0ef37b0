"""A few photographs sent along, and a test on one image of a dataset: one-shard jobs on queue `interactive`.

The photographs go to `uploads/{id}/` in the bucket and are deleted after a day; results stay until the job is deleted.
Each is decoded before it is kept, within limits: a bomb or a text file is refused here and costs no worker anything.
"""

import re
import threading
import time
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from gfi.api import drawing
from gfi.api.access import Caller, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.problems import Refused, documented
from gfi.api.requests import detail, resolved
from gfi.api.schemas import JobIn, SubmittedOut
from gfi.datasets.decode import Limits
from gfi.datasets.errors import DecodeError
from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.ids import new_id
from gfi.jobs.submit import freeze, submit
from gfi.store import queries
from gfi.store.errors import StoreError
from gfi.store.objects import Bucket

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1", tags=["uploads"], route_class=StrictRoute)

LIMITS = Limits(bytes=32 * 2**20, pixels=40_000_000, jpeg_pixels=100_000_000, decoded=32_000_000)
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
EXPIRY_EVERY_S = 600.0
_FIELDS = ("model", "preset", "layers", "target", "rather_than", "top", "name", "metrics")
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"},
                    },
                }
                | {name: {"type": "string"} for name in _FIELDS},
            }
        }
    },
}  # fmt: skip


@router.post(
    "/uploads",
    status_code=201,
    response_model=SubmittedOut,
    responses=documented(413, 415),
    openapi_extra={"requestBody": _FORM},
)
async def upload(
    request: Request,
    context: ContextDep,
    caller: Submitter,
    response: Response,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> Any:
    """Explain a few photographs sent as multipart form data, field `images`; other fields as of a job."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refused(415, "photographs are sent as multipart/form-data, field `images`")
    most = context.api.max_upload_images
    try:
        async with request.form(max_files=most, max_fields=16) as form:
            images = [each for each in form.getlist("images") if isinstance(each, UploadFile)]
            named = [(each.filename or "", await each.read()) for each in images]
            fields = {name: form.get(name) for name in form}
    except HTTPException as error:
        if error.status_code == 413:
            raise
        raise Refused(422, f"the form cannot be read: {error.detail}") from None
    except (ValueError, KeyError) as error:
        raise Refused(400, f"the form cannot be read: {error}") from None
    if not named:
        raise Refused(422, "the form has no file in its field `images`")
    unknown = sorted(set(fields) - set(_FIELDS) - {"images"})
    if unknown:
        raise Refused(422, f"unknown field {unknown[0][:100]!r}; there are images, {', '.join(_FIELDS)}")
    answer = await run_in_threadpool(_explain, context, caller, named, fields)
    response.headers["Location"] = f"/v1/jobs/{answer.job.id}"
    return answer


@router.post("/jobs/test", status_code=201, responses=documented(413))
def test_explanation(body: JobIn, context: ContextDep, caller: Submitter) -> SubmittedOut:
    """Explain the first image of a dataset with these settings, before the whole is submitted."""
    request = resolved(context, body, caller.name)
    source = context.source(request.dataset)
    first = next(iter(source.list()))
    data = source.fetch(first.key).data
    fields = body.model_dump(
        include={"model", "preset", "overrides", "layers", "target", "rather_than", "top", "metrics"}
    )
    return _explain(context, caller, [(first.key.rpartition("/")[2], data)], fields | {"name": "test"})


def _explain(
    context: Context, caller: Caller, images: list[tuple[str, bytes]], fields: dict[str, Any]
) -> SubmittedOut:
    settings = context.settings
    if len(images) > context.api.max_upload_images:
        raise Refused(413, f"{context.api.max_upload_images} images at once are the limit")
    if isinstance(fields.get("metrics"), str):
        fields = fields | {"metrics": [each for each in fields["metrics"].split(",") if each.strip()]}
    given = {name: value for name, value in fields.items() if value not in (None, "") and name != "images"}
    name = new_id()
    try:
        body = JobIn(**given | {"dataset": f"{UPLOAD}{name}", "queue": "interactive", "new": True})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    request = body.request(caller.name)
    files = []
    for number, (sent_as, data) in enumerate(images):
        try:
            kind = drawing.kind_of(data, LIMITS)
        except DecodeError as error:
            raise Refused(422, f"image {number + 1} ({sent_as[:100]!r}): {error}") from None
        files.append((f"{UPLOADS}{name}/{number:03}-{_safe(sent_as)}{SUFFIXES.get(kind, '.jpg')}", data))
    freeze(context.database, settings, request)  # nothing is stored for a request that would be refused
    for key, data in files:
        context.bucket.put(key, data)
    submitted = submit(context.database, settings, request, new=True)
    job = queries.get_job(context.database, submitted.job_id)
    return SubmittedOut(job=detail(context, job), created=submitted.created, reason=submitted.reason)


def _safe(name: str) -> str:
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "image"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:60].strip("-") or "image"


def expire(bucket: Bucket, hours: float) -> int:
    """Delete uploads older than this, by the bucket's own clock; returns how many."""
    end = time.time() - bucket.clock_skew() - hours * 3600
    return bucket.delete_many(each.key for each in bucket.list(UPLOADS) if each.modified < end)


def expire_loop(context: Context, ended: threading.Event) -> None:
    """Expire uploads now and then until `ended`; runs in a thread of the API."""
    while not ended.wait(EXPIRY_EVERY_S):
        try:
            if gone := expire(context.bucket, context.api.upload_hours):
                log.info("uploads expired", objects=gone)
        except StoreError as error:
            log.warning("uploads wait to be expired", reason=str(error))
