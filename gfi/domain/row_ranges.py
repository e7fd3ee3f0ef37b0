"""Chosen rows of a listing as people write them: `3,7-9`."""

import re

MOST_ROWS = 10_000
"""The largest number of chosen rows."""
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")


def rows_of(text: str) -> list[int]:
    """The rows, ascending. Raises ValueError for anything else, and for more than MOST_ROWS.

    >>> rows_of("7-9,3")
    [3, 7, 8, 9]
    """
    rows: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"rows={part[:50]} cannot be read; write rows=3,7-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:  # no row, which would be read as no choice: as all images
            raise ValueError(f"rows={part[:50]} counts down; write rows={last}-{first}")
        if last - first < MOST_ROWS:
            rows.update(range(first, last + 1))
        if last - first >= MOST_ROWS or len(rows) > MOST_ROWS:
            raise ValueError(f"rows select more than {MOST_ROWS:,} images; use filters")
    return sorted(rows)
