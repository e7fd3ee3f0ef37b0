"""How texts on the command line are read: comma-separated words, states and statuses."""

from gfi.cli.errors import CommandError
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus


def words(text: str) -> tuple[str, ...]:
    """The comma-separated words of a text, without blanks around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_state(state: str) -> None:
    """CommandError unless a job can be in this state."""
    if state not in tuple(JobState):
        raise CommandError(f"no state is called {state!r}; the states are {', '.join(JobState)}")


def check_status(status: str) -> None:
    """CommandError unless an image can have this status."""
    if status not in tuple(ImageStatus):
        raise CommandError(f"no status is called {status!r}; the statuses are {', '.join(ImageStatus)}")
