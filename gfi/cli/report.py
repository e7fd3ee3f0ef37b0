"""`gfi report`: a page that shows the results of a job."""

from pathlib import Path

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option


@click.command()
@click.argument("job_id")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: report-JOB.")
@click.option(
    "--limit",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Show at most this many images, drawn by class and status.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of the draw.")
@json_option
def report(job_id: str, output: Path | None, limit: int, seed: int, as_json: bool) -> None:
    """Write an HTML page that shows the results of a job.

    It shows the numbers beside their controls, the classes, the best and the worst images, and photographs with their
    masks, and has filters. Of a large job it shows a sample, the same for the same seed.
    """
    page = open_service().report(job_id, output or Path(f"report-{job_id}"), limit, seed)
    emit({"report": str(page)}) if as_json else click.echo(page)
