"""`gfi export`: the results of a job for other tools."""

from pathlib import Path

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option

FORMATS = ("parquet", "csv", "jsonl", "coco", "fiftyone", "virelay", "overlays", "cvat", "label-studio")


@click.command()
@click.argument("job_id")
@click.option("--as", "output", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path),
    help="File; a format of several files writes a folder, or a ZIP if the name ends in .zip. Default: JOB-FORMAT.",
)
@click.option(
    "--view",
    default="",
    metavar="FILTERS",
    help="Which results, as in the gallery's address: 'status=ok&prediction=3&where=site=A'; rows=1,5-9 selects.",
)
@click.option(
    "--threshold",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The region of a mask is where it is at least this (coco, cvat, label-studio).",
)
@click.option(
    "--images",
    metavar="PREFIX",
    help="Written in front of the keys where a format refers to photographs, such as /data/local-files/?d=. Default:"
    " where the dataset lies.",
)
@click.option("--photographs", is_flag=True, help="Put the photographs into the archive (cvat).")
@json_option
def export(
    job_id: str,
    output: str,
    path: Path | None,
    view: str,
    threshold: float,
    images: str | None,
    photographs: bool,
    as_json: bool,
) -> None:
    """Export the results of a job to other tools.

    \b
    gfi export JOB --as csv
    gfi export JOB --as coco --view status=ok --threshold 0.4
    gfi export JOB --as cvat --photographs --view rows=3,17,20-25 -o moons.zip

    An export that was interrupted goes on where it was when the same command is repeated.
    """
    options = {
        "format": output,
        "view": view,
        "threshold": threshold,
        "images": images,
        "photographs": photographs,
    }
    written = open_service().export(job_id, options, path)
    emit({"export": str(written)}) if as_json else click.echo(written)
