"""Masks that were made elsewhere, sent as one file, as a finished job: a worker imports them."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from gfi.api.access import Caller, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.dataset_names import resolve_dataset
from gfi.api.multipart import read_form
from gfi.api.problems import Refused, documented
from gfi.api.schemas import In, Name, Text
from gfi.api.tasks import TaskId
from gfi.domain.states import ShardState
from gfi.imports import import_request
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest
from gfi.store.queries import Task

router = APIRouter(prefix="/v1/imports", tags=["uploads"], route_class=StrictRoute)


class ImportIn(In):
    """What the masks are of; see `gfi import`."""

    dataset: Annotated[Text, Field(min_length=1, max_length=4096, description="As for a job; `@name` too.")]
    method: Annotated[Name, Field(min_length=1, description="What made the masks, such as captum-lrp.")]
    model: Annotated[Name | None, Field(description="A registered model, whose classes the labels are.")] = (
        None
    )
    crop: Annotated[
        bool,
        Field(
            description="`true`: the masks show what the model sees, such as the centre crop (with `model`)."
        ),
    ] = False
    name: Annotated[Name, Field(description="A display name of the job.")] = ""


class ImportOut(BaseModel):
    """An import. `job_id`: its job, as soon as the masks were looked at; it has ended when the import is `done`."""

    id: str
    url: str
    state: ShardState
    job_id: str | None
    images: int | None
    with_mask: int | None = Field(description="How many images have a mask, once it is done.")
    reason: str | None = Field(description="Why it failed, or why it waits for another attempt.")
    created_at: float

    @classmethod
    def of(cls, task: Task) -> Self:
        """From the task that imports."""
        progress, result = task.progress or {}, task.result or {}
        return cls(
            id=task.id,
            url=f"/v1/imports/{task.id}",
            state=task.state,
            job_id=result.get("job", progress.get("job")),
            images=result.get("images", progress.get("total")),
            with_mask=result.get("with_mask"),
            reason=task.reason,
            created_at=task.created_at,
        )


_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["masks", "dataset", "method"],
                "properties": {
                    "masks": {
                        "type": "string",
                        "format": "binary",
                        "description": f"One file: {', '.join(import_request.ENDINGS)}, as for `gfi import`.",
                    }
                }
                | {
                    name: {"type": "string", "description": field.description}
                    for name, field in ImportIn.model_fields.items()
                },
            }
        }
    },
}


@router.post("", status_code=202, responses=documented(413, 415), openapi_extra={"requestBody": _FORM})
async def import_masks(
    request: Request,
    context: ContextDep,
    caller: Submitter,
    response: Response,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> ImportOut:
    """Import masks sent as multipart form data in the field `masks`: one file of at most GFI_API_MAX_UPLOAD bytes.

    The file waits below `uploads/` in the results bucket. `DELETE /v1/jobs/ID` of its job stops an import.
    """
    files, fields = await read_form(request, content_type, "masks", 1, ImportIn.model_fields)
    made = await run_in_threadpool(_request, context, caller, files[0], fields)
    response.headers["Location"] = made.url
    return made


@router.get("/{task_id}", responses=documented(404))
def get_import(task_id: TaskId, context: ContextDep, caller: Reader) -> ImportOut:
    """One import. `POST /v1/tasks/ID/retry` tries one again that failed, as another job."""
    return ImportOut.of(import_request.import_of(context.database, task_id))


def _request(context: Context, caller: Caller, file: tuple[str, bytes], fields: dict[str, Any]) -> ImportOut:
    crop = fields.pop("crop", "false").lower()
    if crop not in ("true", "false", ""):
        raise Refused(422, f"crop: {crop[:40]!r} is neither true nor false")
    given = {name: value for name, value in fields.items() if value != ""}
    try:
        body = ImportIn(**given, crop=crop == "true")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    dataset = resolve_dataset(context, body.dataset)
    context.source(dataset)  # refused here if it may not be read
    options = body.model_dump(exclude={"dataset"})
    try:
        task_id = import_request.request_import(
            context.database,
            context.bucket,
            file,
            lambda masks: ImportRequest(masks, dataset, **options, owner=caller.name),
        )
    except ImportRefused as error:
        raise Refused(422, str(error)) from None
    return ImportOut.of(import_request.import_of(context.database, task_id))
