"""Flags that people put on images."""

import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from gfi.api.access import Caller, Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, checked, documented
from gfi.api.result_rows import Row
from gfi.api.schemas import LARGEST, In, Text
from gfi.domain.digests import JSON
from gfi.jobs.flagging import MOST, flag_images
from gfi.store import ledger, queries
from gfi.store.result_query import LONGEST, ResultQuery

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
FLAG = r"^[a-z][a-z0-9_-]{0,31}$"
_COLUMNS = ("row", "key", "flag", "note", "owner", "at")


class FlagIn(In):
    """A flag for one image."""

    flag: Annotated[str, StringConstraints(pattern=FLAG)] = "look"
    note: Annotated[Text, Field(max_length=4000)] = ""


class BulkFlagIn(In):
    """A flag for many images: `rows`, those of `view`, or where both are null all that match the query's filters."""

    flag: Annotated[str, StringConstraints(pattern=FLAG)] | None = Field(
        "look", description="Null removes the flags."
    )
    note: Annotated[Text, Field(max_length=4000)] = ""
    rows: list[Annotated[int, Field(strict=True, ge=0, le=LARGEST)]] | None = Field(None, max_length=MOST)
    view: Annotated[Text, Field(max_length=LONGEST)] | None = Field(
        None, description="A query (`wrong=true&label=cat`, `rows=3,7-9`), or the name of a saved view."
    )


class FlagBefore(BaseModel):
    """The flag that an image had; null for none."""

    row: int
    flag: str | None
    note: str


class BulkFlagOut(BaseModel):
    """What was changed."""

    changed: int
    before: list[FlagBefore] = Field(
        description="What the changed images had: set it again to undo the change."
    )
    kept: int = Field(description="Images that another user flagged, which only an administrator may change.")


class FlagCount(BaseModel):
    """How many images have a flag."""

    flag: str
    images: int


class FlagOut(BaseModel):
    """A flagged image."""

    row: int
    key: str | None
    flag: str
    note: str
    owner: str
    at: float


@router.get("/flags", responses=documented(404, also=_CSV))
def list_flags(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    output: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> list[FlagOut]:
    """Flagged images with their notes; with `format=csv` as a file for a spreadsheet."""
    job = find_job(context, job_id)
    flags = queries.list_flags(context.database, job.id)
    if output == "csv":
        return _csv(job.id, flags)  # type: ignore[return-value]
    return [FlagOut(**flag) for flag in flags]


def _csv(job_id: str, flags: list[JSON]) -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for flag in flags:
        writer.writerow([_cell(flag[name]) for name in _COLUMNS])
    headers = {"Content-Disposition": f'attachment; filename="flags-{job_id}.csv"'}
    return Response(out.getvalue(), media_type="text/csv", headers=headers)


def _cell(value: Any) -> Any:
    """A text that begins like a formula is quoted, because a spreadsheet would evaluate it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


@router.get("/flags/counts", responses=documented(404))
def count_flags(job_id: JobId, context: ContextDep, caller: Reader) -> list[FlagCount]:
    """How many images have each flag, the most first."""
    job = find_job(context, job_id)
    counts = queries.count_flags(context.database, job.id)
    return [FlagCount(flag=flag, images=images) for flag, images in counts.items()]


@router.post("/flags", responses=documented(404, 413))
def set_flags(
    job_id: JobId,
    body: BulkFlagIn,
    context: ContextDep,
    caller: Submitter,
    query: Annotated[ResultQuery, Query()],
) -> BulkFlagOut:
    """Flag many images at once, at most 10,000: `rows` or `view` of the body, or all that match the query's filters."""
    job = find_job(context, job_id)
    if body.rows is not None and body.view is not None:
        raise Refused(422, "rows and view name the images twice", "Send one of them.")
    wanted = next(which for which in (body.rows, body.view, query) if which is not None)
    admin = caller.may("admin")
    done = checked(
        lambda: flag_images(
            context.database, job, wanted, body.flag, body.note, owner=caller.name, of_anyone=admin
        )
    )
    return BulkFlagOut(
        changed=len(done.before), before=[FlagBefore(**one) for one in done.before], kept=len(done.kept)
    )


@router.put("/results/{row}/flag", status_code=204, responses=documented(404, 413))
def set_flag(job_id: JobId, row: Row, body: FlagIn, context: ContextDep, caller: Submitter) -> None:
    """Flag an image, with a note. Only an administrator can change a flag of another user."""
    job = find_job(context, job_id)
    queries.get_result(context.database, job.id, row)
    _set(context, job.id, row, body, caller)


@router.delete("/results/{row}/flag", status_code=204, responses=documented(404))
def remove_flag(job_id: JobId, row: Row, context: ContextDep, caller: Submitter) -> None:
    """Remove the flag of an image. Only an administrator can remove a flag of another user."""
    job = find_job(context, job_id)
    _set(context, job.id, row, None, caller)


def _set(context: Context, job_id: str, row: int, body: FlagIn | None, caller: Caller) -> None:
    flag, note = (body.flag, body.note) if body is not None else (None, "")
    other = ledger.set_flag(
        context.database, job_id, row, flag, note, caller.name, of_anyone=caller.may("admin")
    )
    if other is not None:
        raise Refused(403, f"{other} flagged this image; only {other} or an administrator may change it")
