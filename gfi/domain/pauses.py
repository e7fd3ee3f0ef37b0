"""Pauses that double from one attempt to the next."""

_MOST_DOUBLINGS = 60


def doubled(first_s: float, times: int, longest_s: float) -> float:
    """`first_s` doubled `times` times, but at most `longest_s`.

    The number of failures in a row has no limit, while 2.0**1024 is an OverflowError: after a day of deaths it would
    end the loop that only wanted to wait.
    """
    return min(longest_s, first_s * 2.0 ** min(times, _MOST_DOUBLINGS))
