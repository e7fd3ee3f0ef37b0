"""`gfi results`: the rows of a job."""

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit_lines, json_option, table
from gfi.cli.reading import check_status

COLUMNS = (
    "row",
    "key",
    "status",
    "target_rank",
    "target",
    "prediction",
    "probability",
    "kept",
    "removed",
    "area",
    "error",
)


@click.command()
@click.argument("job_id")
@click.option("--status", help="Only images with this status.")
@click.option("--limit", type=click.IntRange(1), help="Print at most this many.")
@json_option
def results(job_id: str, status: str | None, limit: int | None, as_json: bool) -> None:
    """Print the results of a job, one line per image and class.

    With --json each line is a JSON object.
    """
    if status is not None:
        check_status(status)
    rows = open_service().results(job_id, status=status, limit=limit)
    if as_json:
        emit_lines(rows)
        return
    cells = [[_short(row.get(name)) for name in COLUMNS] for row in rows]
    table("", COLUMNS, cells, "no results yet" if status is None else f"no image is {status}")


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value
