"""`gfi flags`: the flags that people put on images."""

import re

import click

from gfi.cli.errors import CommandError
from gfi.cli.list_by_default import ListByDefault
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when
from gfi.cli.reading import read_rows

FLAG = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _which(rows: str | None, view: str | None) -> str:
    """The view that --rows or --view names."""
    if (rows is None) == (view is None):
        raise CommandError("name the images: --rows 3,7-9, or --view with a query or a saved view")
    if rows is not None:
        read_rows(rows)
        return f"rows={rows}"
    return view  # type: ignore[return-value]


_rows = click.option("--rows", metavar="ROWS", help="Rows of the listing: 3,7-9.")
_view = click.option("--view", metavar="VIEW", help="A saved view, or a query: 'wrong=true&label=cat'.")


@click.group(cls=ListByDefault)
def flags() -> None:
    """List the flags of a job's images; `gfi flags set` flags many at once."""


@flags.command("list", hidden=True)
@click.argument("job_id")
@json_option
def list_flags(job_id: str, as_json: bool) -> None:
    """List the flags of a job's images."""
    listed = open_service().flags(job_id)
    if as_json:
        emit(listed)
        return
    rows = [
        (one["row"], one["key"], one["flag"], one["note"], one["owner"], when(one["at"])) for one in listed
    ]
    heads = ("row", "image", "flag", "note", "by", "at")
    table("", heads, rows, "no flags yet: gfi flags set JOB FLAG --rows 3,7-9")


@flags.command("set")
@click.argument("job_id")
@click.argument("flag")
@_rows
@_view
@click.option("--note", default="", help="Stored with each of them.")
def set_flags(job_id: str, flag: str, rows: str | None, view: str | None, note: str) -> None:
    """Put FLAG (a word such as look, wrong, good) on images, at most 10,000."""
    if not FLAG.fullmatch(flag):
        raise CommandError(f"{flag!r} is no flag: it begins with a letter and has a to z, digits, - and _")
    _report("flagged", *open_service().set_flags(job_id, _which(rows, view), flag, note))


@flags.command("remove")
@click.argument("job_id")
@_rows
@_view
def remove_flags(job_id: str, rows: str | None, view: str | None) -> None:
    """Remove the flags of images, at most 10,000."""
    _report("without a flag", *open_service().set_flags(job_id, _which(rows, view), None, ""))


def _report(what: str, changed: int, kept: int) -> None:
    of_others = f"; {kept:,} of other users were left as they are" if kept else ""
    click.echo(f"{what}: {changed:,} images{of_others}")
