"""Canonical JSON and its digest, for values that are compared by content."""

import hashlib
import json
import math
from typing import Any

JSON = dict[str, Any]


def finite(value: Any) -> Any:
    """A JSON value with null in place of each NaN and infinity, which JSON does not have.

    >>> finite({"mean": float("nan"), "bounds": (0.5, float("inf"))})
    {'mean': None, 'bounds': [0.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, no NaN. Equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
