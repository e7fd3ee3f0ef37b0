"""The halves."""

import pytest

from gfi.audit.split import in_screening_half

KEYS = [f"photos/{i}.jpg" for i in range(4000)]


def test_a_half_has_half_of_the_images_and_depends_on_the_secret() -> None:
    first, second = in_screening_half(KEYS, "a"), in_screening_half(KEYS, "b")
    assert abs(first.mean() - 0.5) < 0.03
    assert abs((first == second).mean() - 0.5) < 0.03


def test_an_image_stays_in_its_half_when_others_come() -> None:
    assert (in_screening_half(KEYS[:10], "a") == in_screening_half(KEYS, "a")[:10]).all()


def test_an_empty_secret_is_an_error() -> None:
    with pytest.raises(ValueError, match="secret"):
        in_screening_half(KEYS, "")
