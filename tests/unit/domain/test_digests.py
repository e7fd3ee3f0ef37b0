"""Digests."""

import pytest

from gfi.domain.digests import digest, finite


def test_a_digest_is_of_the_content_not_of_its_spelling() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})


def test_what_json_does_not_have_is_null() -> None:
    value = {"a": [1, float("inf"), (float("nan"), "NaN")], "b": {"c": -float("inf"), "d": True}}
    assert finite(value) == {"a": [1, None, [None, "NaN"]], "b": {"c": None, "d": True}}
