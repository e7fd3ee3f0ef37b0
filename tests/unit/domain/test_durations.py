"""Durations are read as they are written."""

import pytest

from gfi.domain.durations import interval_words, parse_duration, parse_interval


@pytest.mark.parametrize(
    ("text", "seconds", "words"),
    [
        ("90s", 90.0, "90s"),
        ("15m", 900.0, "15m"),
        ("6h", 21_600.0, "6h"),
        (" 1.5 h ", 5400.0, "90m"),
        ("86400s", 86_400.0, "1d"),
    ],
)
def test_intervals_are_read_and_written(text: str, seconds: float, words: str) -> None:
    assert (parse_interval(text), interval_words(seconds)) == (seconds, words)
    assert parse_interval(words) == seconds


@pytest.mark.parametrize("text", ["", "6", "6 hours", "1s", "-1h", "400d", "h", "1e9h"])
def test_what_is_no_interval_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match="write 90s, 15m, 6h or 1d"):
        parse_interval(text)


def test_a_settle_time_may_be_none_at_all_and_no_longer_than_a_year() -> None:
    assert parse_duration("0s") == 0.0
    with pytest.raises(ValueError, match="is not a time"):
        parse_duration("400d")
