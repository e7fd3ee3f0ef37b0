"""The further columns of a manifest (site, camera, age …): their types, and conditions on them.

The values are stored with the results of a job, so that results can be filtered and grouped by them. A column is
`number` where every value is a number, as in JSON or written as one (`3`, `-0.5`, `1e3`; not `007`, which is a code),
otherwise `text`; true and false are texts. The type is decided once, when the dataset is listed.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "number"]
Value = str | float

MOST_COLUMNS = 16
"""The largest number of columns per job. Of a manifest with more, the first are kept, or those that `?columns=`
names."""
LONGEST_VALUE = 200
LONGEST_NAME = 100
_EXACT = 2**53  # whole numbers from here on are not exact as doubles, so they are kept as text
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
OPERATORS = ("!=", ">=", "<=", "=", ">", "<")
_CONDITION = re.compile(r"(.*?)\s*(!=|>=|<=|=|>|<)\s*(.*)", re.DOTALL)


def as_number(value: Any) -> float | None:
    """The value as a number, also if it is written as text; None if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    whole = isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit())
    return None if not math.isfinite(number) or (whole and abs(number) >= _EXACT) else number


def as_text(value: Any) -> str | None:
    """A value as text; None for lists, objects, and texts that are too long or cannot be stored in a database."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int | float | str):
        return None
    text = str(value)
    if len(text) > LONGEST_VALUE or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return None
    return text


class Census:
    """Finds the columns and types of a listing, one image at a time."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}
        self._beyond: dict[str, None] = {}
        self._unusable: dict[str, int] = {}

    def add(self, extra: Mapping[str, Any]) -> None:
        """Adds the further columns of one image."""
        for name, value in extra.items():
            if value is None or value == "":
                continue
            if as_text(value) is None or as_text(name) is None or len(name) > LONGEST_NAME:
                if name in self._unusable or len(self._unusable) < MOST_COLUMNS:
                    self._unusable[name] = self._unusable.get(name, 0) + 1
                continue
            kind = self.kinds.get(name)
            if kind is None:
                if len(self.kinds) >= MOST_COLUMNS:
                    if len(self._beyond) < MOST_COLUMNS:
                        self._beyond[name] = None
                    continue
                kind = self.kinds[name] = "number"
            if kind == "number" and as_number(value) is None:
                self.kinds[name] = "text"

    def notes(self) -> Iterator[str]:
        """Sentences that say which columns and values are not stored with the results."""
        if self._beyond:
            names = ", ".join(_shown(name) for name in self._beyond)
            yield (
                f"the first {MOST_COLUMNS} further columns are stored with the results, not {names}; "
                "`?columns=` and names chooses others"
            )
        for name, count in self._unusable.items():
            yield (
                f"{count} values of the column {_shown(name)} are not stored with the results: lists, objects or texts "
                f"of more than {LONGEST_VALUE} characters"
            )


def typed(extra: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Value]:
    """The values of one image by column; columns that it does not have are left out."""
    values: dict[str, Value] = {}
    for name, kind in kinds.items():
        value = extra.get(name)
        if value is None or value == "":
            continue
        stored = as_number(value) if kind == "number" else as_text(value)
        if stored is not None:
            values[name] = stored
    return values


@dataclass(frozen=True)
class Where:
    """A condition on a column. value: None for images without a value, with `=` only."""

    name: str
    operator: str
    value: Value | None


def parse_where(text: str, kinds: Mapping[str, Kind]) -> Where:
    """A condition such as `site=A`, `age>=40`, `site!=B`, or `site=` for images without a value.

    kinds: the columns of the job. Texts are compared byte by byte. Raises ValueError with the columns that there are.
    """
    for name in sorted(kinds, key=len, reverse=True):
        if text.startswith(name) and (found := _CONDITION.fullmatch(text[len(name) :])) and not found[1]:
            break
    else:
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text[:100]!r} is not a condition; write COLUMN=VALUE, with {', '.join(OPERATORS)}"
            )
        name = find_column(found[1], kinds)
    operator, written = found[2], found[3].strip()
    if not written:
        if operator != "=":
            raise ValueError(f"{text[:100]!r} has no value")
        return Where(name, "=", None)
    if kinds[name] == "text":
        return Where(name, operator, written)
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the column {name!r} holds numbers, not {written[:100]!r}")
    return Where(name, operator, number)


def find_column(name: str, kinds: Mapping[str, Kind]) -> str:
    """The column of a job with this name, ignoring case and blanks. Raises ValueError if there is none."""
    if name in kinds:
        return name
    alike = [known for known in kinds if known.strip().casefold() == name.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    known = ", ".join(f"{_shown(known)} ({kind})" for known, kind in kinds.items())
    raise ValueError(
        f"the job has no column {name[:100]!r}; "
        + (f"its columns are {known}" if known else "its dataset has no further columns")
    )


def _shown(name: str) -> str:
    return repr(name[:LONGEST_NAME])
