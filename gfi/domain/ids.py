"""Ids that sort by time and can be read aloud."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: without i, l, o and u, which are easily misread
_EPOCH_MS = 1_577_836_800_000  # 2020-01-01: eight letters of milliseconds last until 2054


def new_id() -> str:
    """An id of twelve letters and digits that sorts by time (to the millisecond) and can be read aloud."""
    return _letters(int(time.time() * 1000) - _EPOCH_MS, 8) + _letters(secrets.randbits(20), 4)


def _letters(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))


def first_id(at: float) -> str:
    """No id that was made at `at` (epoch seconds) or later sorts before this text."""
    return _letters(int(at * 1000) - _EPOCH_MS, 8)
