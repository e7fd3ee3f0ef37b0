"""`gfi results`, `gfi report`: what a job found."""

from pathlib import Path

import click

from gfi.cli.jobs import as_json_option, check_status
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, emit_lines, table

COLUMNS = (
    "row", "key", "status", "target_rank", "target", "prediction", "probability", "kept", "removed", "area", "error",
)  # fmt: skip


@click.command()
@click.argument("job_id")
@click.option("--status", help="Only images with this status.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@as_json_option
def results(job_id: str, status: str | None, limit: int | None, as_json: bool) -> None:
    """Print the results of a job, one image and class a line (--json: one JSON object a line)."""
    if status is not None:
        check_status(status)
    found = open_service().results(job_id, status=status, limit=limit)
    if as_json:
        emit_lines(found)
        return
    rows = [[_short(row.get(name)) for name in COLUMNS] for row in found]
    table("", COLUMNS, rows, "no results yet" if status is None else f"no image is {status}")


@click.command()
@click.argument("job_id")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: report-JOB.")
@click.option(
    "--limit", default=5000, show_default=True, type=click.IntRange(1), help="At most so many images."
)
@as_json_option
def report(job_id: str, output: Path | None, limit: int, as_json: bool) -> None:
    """Write a page to look at: each photograph, its mask and overlay, numbers and filters."""
    page = open_service().report(job_id, output or Path(f"report-{job_id}"), limit)
    emit({"report": str(page)}) if as_json else click.echo(page)


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value
