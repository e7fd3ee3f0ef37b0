"""`gfi jobs`: the list of jobs; `gfi jobs delete`."""

from collections.abc import Mapping
from typing import Any

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when
from gfi.cli.reading import check_state
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus


@click.group(invoke_without_command=True)
@click.option("--state", help=f"Only jobs in this state: {', '.join(JobState)}.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="List at most this many."
)
@json_option
@click.pass_context
def jobs(context: click.Context, state: str | None, tag: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first; `gfi jobs delete` deletes one."""
    if context.invoked_subcommand is not None:
        return
    if state is not None:
        check_state(state)
    page = open_service().jobs(state=state, tag=tag, limit=limit)
    if as_json:
        emit(page)
        return
    rows = []
    for job in page:
        progress = job["progress"]
        done = f"{progress['done']}/{progress['total']}" if progress["total"] is not None else ""
        counts = (job["id"], job["name"], job["shown_state"], done, _not_ok(progress))
        rows.append((*counts, model_of(job), when(job["created_at"])))
    columns = ("job", "name", "state", "images", "not ok", "model", "submitted")
    table("", columns, rows, "no jobs yet: gfi submit --dataset FOLDER")


@jobs.command("delete")
@click.argument("job_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_job(job_id: str, yes: bool) -> None:
    """Delete an ended job: its rows, result files, pictures and uploads. The audit log keeps that it existed."""
    service = open_service()
    job = service.job(job_id)
    if not yes:
        click.confirm(
            f"delete job {job['id']} {job['name']} with {job['total'] or 0} images and all its masks?",
            abort=True,
        )
    service.delete(job["id"])
    click.echo(f"deleted {job['id']}")


def model_of(job: Mapping[str, Any]) -> str:
    """The reference of a job's model. Lists of the API have it as a field, those of the database inside the
    configuration."""
    config = job.get("config")
    return str(config["model"]["reference"] if config else job["model"])


def _not_ok(progress: Mapping[str, Any]) -> str:
    """How many images got each status other than `ok`."""
    counts = progress["by_status"].items()
    return ", ".join(f"{count} {status}" for status, count in counts if count and status != ImageStatus.OK)
