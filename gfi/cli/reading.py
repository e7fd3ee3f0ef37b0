"""Reads texts on the command line: comma-separated words, states and statuses; and files of text."""

from pathlib import Path

from gfi.cli.errors import CommandError
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus


def words(text: str) -> tuple[str, ...]:
    """The comma-separated words of a text, without blanks around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_state(state: str) -> None:
    """Raises CommandError unless a job can be in this state."""
    if state not in tuple(JobState):
        raise CommandError(f"there is no state {state!r}; the states are {', '.join(JobState)}")


def check_status(status: str) -> None:
    """Raises CommandError unless an image can have this status."""
    if status not in tuple(ImageStatus):
        raise CommandError(f"there is no status {status!r}; the statuses are {', '.join(ImageStatus)}")


def read_text(file: Path) -> str:
    """The text of a file. Raises CommandError for one that is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not text in UTF-8") from None


def read_rows(text: str) -> tuple[int, ...]:
    """The rows of `3,7-9`. Raises CommandError for anything else."""
    from gfi.domain.row_ranges import rows_of

    try:
        return tuple(rows_of(text))
    except ValueError as error:
        raise CommandError(str(error)) from None
