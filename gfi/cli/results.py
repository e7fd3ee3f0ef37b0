"""`gfi results`: the rows of a job."""

from typing import Any

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit_lines, json_option, line_width, shortened, table
from gfi.cli.reading import check_status
from gfi.domain.metrics import METRICS, NUMBERS
from gfi.domain.statuses import ImageStatus

TEXTS = ("row", "key", "status", "target_rank", "target", "prediction")
FIGURES = ("probability", "kept", "removed", "area", *METRICS)
SOMETIMES = ("target_rank", *METRICS, "error")
"""Columns that are shown only if some row has a value in them, of a rank other than 0."""
NARROW = 120
"""Characters of a line below which keys and names of classes are shortened, and row and area left out."""
SHORT = {"probability": "prob", "prediction": "predicted"}
"""Headings there."""

GROUP_MEANS = tuple(name for name in NUMBERS if name != "iterations")
"""The means that a table of groups shows."""


@click.command()
@click.argument("job_id")
@click.option("--status", help="Only images with this status.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Only images whose manifest columns satisfy this: site=A, 'age>=40', site!=A; site= for images without a"
    " value. Several conditions must all hold.",
)
@click.option(
    "--group-by",
    metavar="COLUMN",
    help="Images and means by the values of a manifest column, of label, status …",
)
@click.option(
    "--view", metavar="NAME", help="The results of a saved view, in its order; `gfi views` lists them."
)
@click.option("--limit", type=click.IntRange(1), help="Print at most this many.")
@json_option
def results(
    job_id: str,
    status: str | None,
    where: tuple[str, ...],
    group_by: str | None,
    view: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the results of a job, one line per image and class.

    With --json each line is a JSON object. The further columns of a manifest (site, camera …) are shown, filtered and
    grouped by.
    """
    if status is not None:
        check_status(status)
    if view is not None and (status is not None or where or group_by is not None):
        raise click.UsageError("a view has its own conditions; leave out --status, --where and --group-by")
    service = open_service()
    if group_by is not None:
        groups, more = service.groups(job_id, group_by, status=status, where=where)
        _groups(groups[:limit], group_by, as_json)
        if more and (limit is None or limit > len(groups)):
            click.echo(f"these are the {len(groups):,} largest groups; there are more", err=True)
        return
    rows = service.results(job_id, status=status, limit=limit, where=where, view=view)
    if as_json:
        emit_lines(rows)
        return
    further = list((service.job(job_id).get("facts") or {}).get("columns") or {})
    listed = list(rows)
    columns = [
        name
        for name in (*TEXTS, *FIGURES, "error")
        if name not in SOMETIMES
        or any(row.get(name) is not None and (name != "target_rank" or row[name]) for row in listed)
    ]
    headings = columns
    if line_width() < NARROW:
        columns = [name for name in columns if name not in ("row", "area")]
        headings = [SHORT.get(name, name) for name in columns]
    cells = [
        [_cell(row, name) for name in columns] + [plain(row["columns"].get(name)) for name in further]
        for row in listed
    ]
    empty = "no results yet" if status is None and not where and view is None else "no image matches"
    table("", (*headings, *further), cells, empty if status is None or where else f"no image is {status}")


def _cell(row: dict[str, Any], column: str) -> object:
    """A class by its name, a number with three decimals; in a narrow terminal the end of a long key."""
    value = row.get(column)
    narrow = line_width() < NARROW
    if column in ("target", "prediction"):
        value = row.get(f"{column}_name") or value
        return shortened(str(value), 9) if narrow and value is not None else value
    if column == "key" and narrow:
        return shortened(str(value), 16, end=True)
    return f"{value:.3f}" if isinstance(value, float) else value


def _groups(groups: list[dict[str, Any]], by: str, as_json: bool) -> None:
    if as_json:
        emit_lines(groups)
        return
    names = [name for name in GROUP_MEANS if any(name in group["means"] for group in groups)]
    cells = [
        (
            "(none)" if group["value"] is None else plain(group["value"]),
            group["images"],
            group["counts"].get(ImageStatus.OK, 0),
            *(_short(group["means"].get(name, {}).get("mean")) for name in names),
        )
        for group in groups
    ]
    table("", (by, "images", "ok", *names), cells, "no image matches")


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def plain(value: object) -> object:
    """A value of a manifest column as text: 3 and not 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
