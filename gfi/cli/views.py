"""`gfi views`: queries of a job's results under a name."""

import click

from gfi.cli.list_by_default import ListByDefault
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when


@click.group(cls=ListByDefault)
def views() -> None:
    """List the saved views of a job; `gfi views save` saves one."""


@views.command("list", hidden=True)
@click.argument("job_id")
@json_option
def list_views(job_id: str, as_json: bool) -> None:
    """List the saved views of a job."""
    listed = open_service().views(job_id)
    if as_json:
        emit(listed)
        return
    rows = [(view["name"], view["query"], view["owner"], when(view["at"])) for view in listed]
    table("", ("view", "query", "owner", "saved"), rows, "no views yet: gfi views save JOB NAME QUERY")


@views.command("save")
@click.argument("job_id")
@click.argument("name")
@click.argument("query")
def save_view(job_id: str, name: str, query: str) -> None:
    """Save QUERY, as the gallery's address has it, under NAME: 'wrong=true&sort=area'. A view of this name is
    replaced."""
    open_service().save_view(job_id, name, query)
    click.echo(f"saved {name}")


@views.command("delete")
@click.argument("job_id")
@click.argument("name")
def delete_view(job_id: str, name: str) -> None:
    """Delete a view."""
    open_service().delete_view(job_id, name)
    click.echo(f"deleted {name}")
