"""The audit log: who did what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gfi.api.access import Admin
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import After, Limit
from gfi.api.problems import documented
from gfi.api.schemas import Page, decode_cursor, encode_cursor
from gfi.store import queries

router = APIRouter(prefix="/v1", route_class=StrictRoute)


class AuditOut(BaseModel):
    """One entry: who did what to which job, with details."""

    id: str
    at: float
    actor: str
    action: str
    job_id: str | None
    details: dict[str, Any] | None


@router.get("/audit", tags=["audit"], responses=documented())
def list_audit(
    context: ContextDep,
    caller: Admin,
    job: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
    limit: Limit = 100,
) -> Page[AuditOut]:
    """Entries of the audit log, newest first."""
    last = decode_cursor(after, (str,))[0] if after is not None else None
    entries = queries.list_audit(context.database, job_id=job, after=last, limit=limit)
    more = encode_cursor([entries[-1]["id"]]) if len(entries) == limit else None
    return Page(items=[AuditOut(**entry) for entry in entries], next=more)
