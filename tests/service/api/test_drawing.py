"""The cache of drawn pictures."""

from gfi.api.drawing import Pictures


def test_the_pictures_drawn_last_are_kept_up_to_a_number_of_bytes() -> None:
    drawn: list[str] = []
    pictures = Pictures(limit=100)

    def get(key: str, size: int = 25) -> bytes:
        def draw() -> bytes:
            drawn.append(key)
            return key.encode() * size

        return pictures.get(key, draw)

    for key in "abcd":
        assert get(key) == get(key) == key.encode() * 25
    assert drawn == list("abcd")
    get("a")
    get("e")  # 125 bytes would be kept: b was used longest ago
    drawn.clear()
    for key in "acde":
        get(key)
    assert drawn == []
    get("b")
    assert drawn == ["b"]


def test_a_picture_of_more_than_a_quarter_of_the_cache_displaces_nothing() -> None:
    pictures = Pictures(limit=100)
    pictures.get("small", lambda: b"s" * 20)
    assert pictures.get("large", lambda: b"l" * 26) == b"l" * 26
    assert pictures.get("large", lambda: b"drawn again") == b"drawn again"
    assert pictures.get("small", lambda: b"") == b"s" * 20
