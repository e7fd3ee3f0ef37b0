"""Uploaded photographs, and a test on the first image of a dataset: one-shard jobs on queue `interactive`.

The photographs go to `uploads/{id}/` in the bucket and are deleted after `GFI_API_UPLOAD_HOURS`; results stay until the
job is deleted. Each photograph is decoded, within limits, before it is stored: a decompression bomb or a text file is
refused here and never reaches a worker.
"""

import json
import re
import threading
import time
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from gfi.api import drawing
from gfi.api.access import Caller, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.job_schemas import JobIn, SubmittedOut
from gfi.api.lookup import job_detail, job_request
from gfi.api.multipart import read_form
from gfi.api.problems import Refused, documented
from gfi.datasets.decode import Limits
from gfi.datasets.errors import DecodeError
from gfi.datasets.sources import UPLOAD, UPLOADS
from gfi.domain.ids import new_id
from gfi.domain.job import JobOptions
from gfi.domain.preprocess import Preprocess
from gfi.domain.queues import INTERACTIVE_QUEUE
from gfi.jobs.notify_addresses import check_addresses
from gfi.jobs.submit import freeze, submit
from gfi.store import queries
from gfi.store.errors import LimitExceeded, StoreError
from gfi.store.objects import Bucket

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1", tags=["uploads"], route_class=StrictRoute)

LIMITS = Limits(bytes=32 * 2**20, pixels=40_000_000, jpeg_pixels=100_000_000, decoded=32_000_000)
SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "HEIC": ".heic",
    "DICOM": ".dcm",
    "NPY": ".npy",
}
EXPIRY_EVERY_S = 600.0
# The dataset is the upload, and its queue is always the interactive one.
FIELDS = {name: field for name, field in JobOptions.model_fields.items() if name not in ("dataset", "queue")}
"""The options of a job that an upload may have."""
_LISTS = ("metrics", "save", "tags")
_FORMATS = dict.fromkeys(_LISTS, " Separated by commas.") | {
    "save": " Separated by commas; `none`: no pictures.",
    "overrides": " A JSON object.",
}
"""How a form writes values other than text; added to the description of the option."""
_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": _FILES}
                | {
                    name: {"type": "string", "description": f"{field.description}" + _FORMATS.get(name, "")}
                    for name, field in FIELDS.items()
                },
            }
        }
    },
}


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
    """Explain photographs sent as multipart form data in the field `images`.

    The other fields are options of a job, as text: lists separated by commas, `overrides` as a JSON object.
    """
    images, fields = await read_form(request, content_type, "images", context.api.max_upload_images, FIELDS)
    answer = await run_in_threadpool(_explain, context, caller, images, _options(fields))
    response.headers["Location"] = f"/v1/jobs/{answer.job.id}"
    return answer


def _options(fields: dict[str, str]) -> dict[str, Any]:
    """The fields of a form as the options of a job. Refused when `overrides` is not a JSON object."""
    options: dict[str, Any] = dict(fields)
    for name in _LISTS:
        if options.get(name):
            options[name] = [word.strip() for word in options[name].split(",") if word.strip()]
    if options.get("save") == ["none"]:
        options["save"] = []
    if options.get("overrides"):
        try:
            options["overrides"] = json.loads(options["overrides"])
        except (ValueError, RecursionError) as error:
            raise Refused(422, f"overrides: not JSON: {error}", 'Write {"steps_class": 24}.') from None
    return options


@router.post("/jobs/test", status_code=201, responses=documented(413))
def test_explanation(body: JobIn, context: ContextDep, caller: Submitter) -> SubmittedOut:
    """Explain only the first image of a dataset with these options, to try them before the job is submitted."""
    request = job_request(context, body, caller.name)
    (first,) = context.listing(request.dataset, 1).first
    data = context.source(request.dataset).fetch(first.key, first.version).data
    fields = body.model_dump(
        include={"model", "preset", "overrides", "layers", "target", "rather_than", "top", "metrics"}
    )
    return _explain(context, caller, [(first.key.rpartition("/")[2], data)], fields | {"name": "test"})


def _explain(
    context: Context, caller: Caller, images: list[tuple[str, bytes]], fields: dict[str, Any]
) -> SubmittedOut:
    settings = context.settings
    if len(images) > context.api.max_upload_images:
        raise Refused(413, f"an upload may have {context.api.max_upload_images} images at most")
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    upload_id = new_id()
    try:
        body = JobIn(**given | {"dataset": f"{UPLOAD}{upload_id}", "queue": INTERACTIVE_QUEUE, "new": True})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    check_addresses(body, context.api)
    request = body.request(caller.name)
    # Nothing is stored for an invalid request.
    model = queries.model_of(context.database, freeze(context.database, settings, request).model)
    preprocess = Preprocess.known(model.record) if model is not None else None
    files = []
    for number, (sent_as, data) in enumerate(images):
        try:
            kind = drawing.kind_of(data, preprocess, LIMITS)
        except DecodeError as error:
            raise Refused(422, f"image {number + 1} ({sent_as[:100]!r}): {error}") from None
        files.append((f"{UPLOADS}{upload_id}/{number:03}-{_safe(sent_as)}{SUFFIXES.get(kind, '.jpg')}", data))
    for key, data in files:
        context.bucket.put(key, data)
    try:
        submitted = submit(context.database, settings, request, new=True, count_images=lambda _: len(images))
    except LimitExceeded:
        context.bucket.delete_many(key for key, _ in files)
        raise
    job = queries.get_job(context.database, submitted.job_id)
    return SubmittedOut(job=job_detail(context, job), created=submitted.created, reason=submitted.reason)


def _safe(name: str) -> str:
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "image"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:60].strip("-") or "image"


def expire(bucket: Bucket, hours: float) -> int:
    """Delete uploads older than `hours` by the bucket's own clock. Returns how many objects were deleted."""
    end = time.time() - bucket.clock_skew() - hours * 3600
    return bucket.delete_many(entry.key for entry in bucket.list(UPLOADS) if entry.modified < end)


def expire_loop(context: Context, ended: threading.Event) -> None:
    """Expire uploads every `EXPIRY_EVERY_S` until `ended`; runs in a thread of the API."""
    while not ended.wait(EXPIRY_EVERY_S):
        try:
            if deleted := expire(context.bucket, context.api.upload_hours):
                log.info("uploads expired", objects=deleted)
        except StoreError as error:
            log.warning("uploads cannot be expired now", reason=str(error))
        except Exception:  # the thread goes on: nobody starts it again
            log.exception("uploads cannot be expired now")
