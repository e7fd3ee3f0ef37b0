"""Every property has words for both directions; names of columns are not shown to people."""

import pytest

from gfi.audit.properties import PropertyCandidate
from gfi.audit.property_words import named, standing_out
from gfi.domain.pixel_properties import PROPERTIES


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("z", [-5.0, 5.0])
def test_a_property_is_said_in_words(name: str, z: float) -> None:
    said = standing_out(PropertyCandidate(0, name, 0.1, 0.2, z, 1e-6, 1e-5))
    assert said.startswith("are ")
    assert "_" not in said + named(name)


def test_both_directions_differ() -> None:
    for name in PROPERTIES:
        less, more = (standing_out(PropertyCandidate(0, name, 0.1, 0.2, z, 0, 0)) for z in (-5, 5))
        assert less != more


def test_columns_of_numbers_and_of_words_are_said_with_their_values() -> None:
    assert "a larger age" in standing_out(PropertyCandidate(0, "age", 63.2, 41.0, 5.0, 0, 0))
    assert "less often" in standing_out(PropertyCandidate(0, "camera = A", 0.1, 0.6, -5.0, 0, 0))
