"""A view: which results of a job, as the query of the gallery's address.

    status=ok&prediction=3&where=site=A&where=age>=40&rows=1,5-9

The names are those of `GET /v1/jobs/{id}/results`. `rows` is a selection of images. An order and the size of a page
(`sort`, `descending`, `limit`, `after`, `format`) are accepted and have no effect: exports are in the manifest's order.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from gfi.domain.manifest_columns import Kind, parse_where
from gfi.domain.statuses import ImageStatus
from gfi.exports.errors import ExportError
from gfi.store.queries import SORTABLE, Filters

MOST_ROWS = 10_000
"""The largest number of selected images."""
LONGEST = 100_000
_NO_EFFECT = ("sort", "descending", "limit", "after", "format")
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


def parse_view(text: str, kinds: Mapping[str, Kind]) -> Filters:
    """The filters of a view. kinds: of the job's further columns. Raises ExportError with the part that is wrong.

    >>> parse_view("status=ok&rows=2,5-6", {}).rows
    (2, 5, 6)
    """
    if len(text) > LONGEST:
        raise ExportError(f"the view has {len(text):,} characters; the limit is {LONGEST:,}")
    found: dict[str, Any] = {}
    where = []
    for name, value in parse_qsl(text.lstrip("?"), keep_blank_values=True):
        if name in _NO_EFFECT:
            continue
        if name == "where":
            try:
                where.append(parse_where(value, kinds))
            except ValueError as error:
                raise ExportError(f"view: {error}") from None
        elif name not in _READ:
            raise ExportError(f"view: no filter is called `{name}`; there are {', '.join((*_READ, 'where'))}")
        elif value != "":
            try:
                found[name] = _READ[name](value)
            except ValueError:
                raise ExportError(f"view: {name}={value} cannot be read") from None
    if found.get("metric") is not None and found["metric"] not in SORTABLE:
        raise ExportError(f"view: no metric {found['metric']!r}; choose one of {', '.join(SORTABLE)}")
    return Filters(**found, where=tuple(where))


def _flag(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text.lower() in _TRUE


def _rows(text: str) -> tuple[int, ...]:
    rows: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(part)
        first = int(match[1])
        last = int(match[2] or match[1])
        if last - first >= MOST_ROWS:
            raise ExportError(f"view: rows={part} selects more than {MOST_ROWS:,} images; use filters")
        rows.update(range(first, last + 1))
    if len(rows) > MOST_ROWS:
        raise ExportError(f"view: {len(rows):,} images are selected, at most {MOST_ROWS:,}; use filters")
    return tuple(sorted(rows))


_READ: Mapping[str, Callable[[str], Any]] = {
    "status": ImageStatus,
    "prediction": int,
    "target": int,
    "label": str,
    "method": str,
    "target_rank": int,
    "error_class": str,
    "metric": str,
    "at_least": float,
    "at_most": float,
    "search": str,
    "flagged": _flag,
    "carried": _flag,
    "rows": _rows,
}
