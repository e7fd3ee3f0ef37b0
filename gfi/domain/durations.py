"""Durations as people write them: `90s`, `15m`, `6h`, `1d`."""

import re

SHORTEST_S = 10.0
"""The shortest interval of a schedule."""
LONGEST_S = 366 * 86_400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Seconds of `0s`, `90s`, `15m`, `6h`, `1d`. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if found is None or (seconds := float(found[1]) * _UNITS[found[2]]) > LONGEST_S:
        raise ValueError(f"{text[:50]!r} is not a time; write 90s, 15m, 6h or 1d")
    return seconds


def parse_interval(text: str) -> float:
    """Seconds of `90s`, `15m`, `6h`, `1d`. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ValueError(
            f"{text[:50]!r} is not an interval; write 90s, 15m, 6h or 1d, at least {SHORTEST_S:.0f}s"
        )
    return seconds


def interval_words(seconds: float) -> str:
    """The interval as `parse_interval` reads it."""
    for unit in "dhm":
        if seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:g}s"
