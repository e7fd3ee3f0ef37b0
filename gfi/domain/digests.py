"""One spelling of JSON and one digest of it, for everything that is compared by content."""

import hashlib
import json
from typing import Any

JSON = dict[str, Any]


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def work_digest(config: JSON) -> str:
    """What decides how fast a job's images are explained, apart from the device: network, method, layers, metrics, and
    how many classes of each."""
    parts = [config["model"]["digest"], config["method_digest"], config["layers"], config.get("metrics")]
    top = config.get("top", 1)
    return digest([*parts, top] if top > 1 else parts)
