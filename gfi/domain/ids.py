"""Ids that sort by time and survive being read aloud."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u to misread
_EPOCH_MS = 1_577_836_800_000  # 2020-01-01: eight letters of milliseconds last until 2054


def new_id() -> str:
    """Twelve letters that sort by time (to the millisecond) and survive being read aloud."""
    return _letters(int(time.time() * 1000) - _EPOCH_MS, 8) + _letters(secrets.randbits(20), 4)


def _letters(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))
