"""Flags that people put on images."""

from typing import Any, Literal

from fastapi import APIRouter, Response

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import documented
from gfi.api.requests import JobId, the_job
from gfi.api.result_rows import Row
from gfi.api.schemas import (
    FlagIn,
    FlagOut,
)
from gfi.domain.digests import JSON
from gfi.store import ledger, queries

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("/flags", responses=documented(404, also=_CSV))
def list_flags(
    job_id: JobId, context: ContextDep, caller: Reader, format: Literal["json", "csv"] = "json"
) -> list[FlagOut]:
    """Flagged images with their notes; `format=csv` to take away."""
    job = the_job(context, job_id)
    found = queries.list_flags(context.database, job.id)
    if format == "csv":
        return _csv(job.id, found)  # type: ignore[return-value]
    return [FlagOut(**row) for row in found]


def _csv(job_id: str, found: list[JSON]) -> Response:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["row", "key", "flag", "note", "owner", "at"])
    for row in found:
        writer.writerow([_cell(row[name]) for name in ("row", "key", "flag", "note", "owner", "at")])
    headers = {"Content-Disposition": f'attachment; filename="flags-{job_id}.csv"'}
    return Response(out.getvalue(), media_type="text/csv", headers=headers)


def _cell(value: Any) -> Any:
    """A spreadsheet would run a text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


@router.put("/results/{row}/flag", status_code=204, responses=documented(404, 413))
def set_flag(job_id: JobId, row: Row, body: FlagIn, context: ContextDep, caller: Submitter) -> None:
    """Mark an image, with a note."""
    job = the_job(context, job_id)
    queries.get_result(context.database, job.id, row)
    ledger.set_flag(context.database, job.id, row, body.flag, body.note, caller.name)


@router.delete("/results/{row}/flag", status_code=204, responses=documented(404))
def remove_flag(job_id: JobId, row: Row, context: ContextDep, caller: Submitter) -> None:
    """Take the mark away."""
    job = the_job(context, job_id)
    ledger.set_flag(context.database, job.id, row, None)
