"""The errors of the store. Each message is one line with advice and without secrets."""


class StoreError(Exception):
    """The request cannot be served; its text is one line that says why and what to do."""


class Transient(StoreError):
    """The database, the bucket or Redis is away or busy: the same call may succeed a moment later.

    Every transaction of the ledger is idempotent, so callers repeat the whole call with back-off.
    """


class Conflict(StoreError):
    """The request contradicts recorded data: an idempotency key that is in use, or a state that does not allow it."""


class NotFound(StoreError):
    """No such job, shard, schedule, model or token."""


class LimitExceeded(StoreError):
    """A configured limit refuses the request; the message names the limit and its setting."""


class Missed(StoreError):
    """No scheduler fired a schedule in time, and it does not make up for that."""


class Unchanged(StoreError):
    """What a schedule waits for has not changed, so there is nothing to do."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """The first line of an exception's text that is not empty, for messages and logs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = storable(lines[0]) if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def storable(text: str) -> str:
    """Text that a database and Parquet accept: without NUL, and with bytes that are not UTF-8 written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
