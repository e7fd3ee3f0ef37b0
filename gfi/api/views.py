"""Saved views of a job: queries of its results under a name, which can be sent and opened again."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, StringConstraints

from gfi.api.access import Reader, Submitter
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import Refused, checked, documented
from gfi.api.schemas import In, Text
from gfi.store import ledger, queries
from gfi.store.result_query import ResultQuery, filters_of

router = APIRouter(prefix="/v1/jobs/{job_id}/views", tags=["results"], route_class=StrictRoute)
_NAME = r"^[^\x00/\\]+$"
_LONGEST = 4000
"""Characters of a saved query: an address that browsers and mails carry."""
ViewName = Annotated[str, Path(min_length=1, max_length=100, description="The name of a view.")]


class ViewIn(In):
    """A view: a name, and the query as the gallery's address has it."""

    name: Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=100)]
    query: Annotated[Text, Field(max_length=_LONGEST)] = Field(
        examples=["wrong=true&sort=area&descending=true"]
    )


class ViewOut(BaseModel):
    """A saved view. `at`: when it was saved."""

    name: str
    query: str
    owner: str
    at: float


@router.get("", responses=documented(404))
def list_views(job_id: JobId, context: ContextDep, caller: Reader) -> list[ViewOut]:
    """The saved views of a job, by name."""
    job = find_job(context, job_id)
    return [ViewOut(**view) for view in queries.list_views(context.database, job.id)]


@router.post("", status_code=201, responses=documented(404, 413))
def save_view(job_id: JobId, body: ViewIn, context: ContextDep, caller: Submitter) -> ViewOut:
    """Save a view; one of this name is replaced. Only an administrator can replace a view of another user."""
    job = find_job(context, job_id)
    checked(lambda: filters_of(context.database, job, ResultQuery.of(body.query)))
    other = ledger.save_view(
        context.database, job.id, body.name, body.query, caller.name, of_anyone=caller.may("admin")
    )
    _refuse(other)
    return ViewOut(**queries.find_view(context.database, job.id, body.name))


@router.delete("/{name}", status_code=204, responses=documented(404))
def delete_view(job_id: JobId, name: ViewName, context: ContextDep, caller: Submitter) -> None:
    """Delete a view. Only an administrator can delete a view of another user."""
    job = find_job(context, job_id)
    queries.find_view(context.database, job.id, name)
    _refuse(ledger.delete_view(context.database, job.id, name, caller.name, of_anyone=caller.may("admin")))


def _refuse(other: str | None) -> None:
    if other is not None:
        raise Refused(403, f"{other} saved this view; only {other} or an administrator may change it")
