"""Digests."""

import pytest

from gfi.domain.digests import digest


def test_a_digest_is_of_the_content_not_of_its_spelling() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})
