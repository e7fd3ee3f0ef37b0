"""Output of commands: JSON for programs, tables for users."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from gfi.domain.digests import finite

_WIDE = 10_000
"""Characters of a line that no table reaches."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def emit(value: Any) -> None:
    """Print one JSON document on stdout; NaN and infinities are null."""
    json.dump(finite(value), sys.stdout, default=str, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def emit_lines(values: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line; NaN and infinities are null."""
    for value in values:
        sys.stdout.write(json.dumps(finite(value), default=str, allow_nan=False) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows as a table, or the text `empty` when there are none."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    cells = [tuple("" if cell is None else escape(str(cell)) for cell in row) for row in rows]
    if not cells:
        click.echo(empty)
        return
    drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for row in cells:
        drawn.add_row(*row)
    Console(width=line_width()).print(drawn)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is waited for and for how long; elsewhere nothing. Yields a function that changes the
    text."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda changed: progress.update(task, description=changed)


def line_width() -> int:
    """Characters of a line: those of the terminal. In a pipe or a file nothing has to fit, so that a row is a line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def shortened(text: str, most: int, *, end: bool = False) -> str:
    """A text of at most `most` characters, with … for what is left out. end: keep the end, as of a path."""
    if len(text) <= most:
        return text
    return f"…{text[1 - most :]}" if end else f"{text[: most - 1]}…"


def when(epoch: float | None) -> str:
    """Seconds since 1970 as local date and time; empty for None."""
    if epoch is None:
        return ""
    return datetime.fromtimestamp(epoch, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """`48 s`, `3 min 10 s`, `2 h 5 min`, or `?`."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def long_duration(seconds: float) -> str:
    """A duration, in days from two days on: `2 h 5 min`, `3.4 days`, `210 days`, `12 years`."""
    days = seconds / 86_400
    if days < 2:
        return duration(seconds)
    if days < 1_000:
        return f"{days:.1f} days" if days < 10 else f"{days:,.0f} days"
    return f"{days / 365:,.0f} years" if days < 1e6 else f"{days / 365:.1e} years"


def span(low: str, high: str) -> str:
    """`low to high`, or the text alone if both are the same."""
    return low if low == high else f"{low} to {high}"


def size(count: float) -> str:
    """Bytes: `812 B`, `1.4 MB`, `230 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def amount(number: float | None) -> str:
    """A number with three digits that count, and commas from a thousand on; empty for None."""
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def usd(number: float) -> str:
    """US dollars; small sums that are not zero as `less than 0.01 USD`."""
    return "less than 0.01 USD" if 0 < number < 0.01 else f"{amount(number)} USD"


def user() -> str:
    """The name of the user who runs the command, for the audit log."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
