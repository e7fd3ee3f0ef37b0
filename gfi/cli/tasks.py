"""`gfi tasks`: work other than shards, such as registering a model or listing a dataset."""

from collections.abc import Mapping
from typing import Any

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when
from gfi.domain.tasks import KINDS


@click.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Also tasks that have ended.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="List at most this many."
)
@json_option
@click.pass_context
def tasks(context: click.Context, everything: bool, limit: int, as_json: bool) -> None:
    """List the tasks that wait or run; `gfi tasks cancel` and `gfi tasks retry` change one."""
    if context.invoked_subcommand is not None:
        return
    listed = open_service().tasks(everything=everything, limit=limit)
    if as_json:
        emit(listed)
        return
    rows = [
        (
            task["id"],
            KINDS[task["kind"]].words if task["kind"] in KINDS else task["kind"],
            task["state"],
            task["queue"],
            task["owner"],
            _progress(task),
            when(task["created_at"]),
            task["reason"] or "",
        )
        for task in listed
    ]
    columns = ("task", "what", "state", "queue", "owner", "progress", "requested", "reason")
    table("", columns, rows, "no tasks" if everything else "no task waits or runs; --all shows earlier ones")


@tasks.command("cancel")
@click.argument("task_id")
def cancel_task(task_id: str) -> None:
    """Cancel a task. Its worker stops within a second or two and writes nothing more."""
    open_service().cancel_task(task_id)
    click.echo(f"cancelled {task_id}")


@tasks.command("retry")
@click.argument("task_id")
def retry_task(task_id: str) -> None:
    """Try a failed or cancelled task again, from the progress that was saved."""
    open_service().retry_task(task_id)
    click.echo(f"{task_id} waits for a worker")


def _progress(task: Mapping[str, Any]) -> str:
    progress = task["progress"] or {}
    if "done" not in progress:
        return ""
    return f"{progress['done']}/{progress['total']}" if "total" in progress else str(progress["done"])
