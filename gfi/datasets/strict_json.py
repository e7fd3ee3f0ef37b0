"""Annotations in JSON: what is ambiguous is refused, and what the database cannot store does not reach it."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from gfi.datasets.errors import DatasetError


def read_json(text: str) -> Any:
    """The value of a JSON text. ValueError for NaN and infinities, for a name that occurs twice in one object, and for
    a text that is nested too deeply."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON values: dates and decimals of Parquet become text, NaN is left out. Empty columns are left out."""
    if not extra:
        return {}
    text = json.dumps({str(name): value for name, value in extra.items()}, default=str)
    if "\\u0000" in text:  # which PostgreSQL cannot store
        raise DatasetError("a column holds a NUL")
    kept = json.loads(text, parse_constant=lambda _: None)
    if "\\ud" in text:  # half of a character, which UTF-8 cannot hold; or both halves
        try:
            json.dumps(kept, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DatasetError("a column holds a text that is not Unicode") from None
    return {name: value for name, value in kept.items() if value is not None}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose names occur once; of two, JSON takes the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        name = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"{name[:40]!r} twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
