"""The tables from which a recipe chooses its parts."""

from collections.abc import Mapping
from typing import get_args, get_type_hints

import pytest

from gfi.domain.recipes import Recipe
from gfi.method.parts.normalisations import NORMALISATIONS
from gfi.method.parts.objectives import CLASS_OBJECTIVES
from gfi.method.parts.penalties import PENALTIES
from gfi.method.parts.starts import STARTS
from gfi.method.parts.steps import STEP_RULES


@pytest.mark.parametrize(
    ("field", "table"),
    [
        ("start", STARTS),
        ("search", STEP_RULES),
        ("objective", CLASS_OBJECTIVES),
        ("penalty", PENALTIES),
        ("normalise", NORMALISATIONS),
    ],
)
def test_every_value_of_a_field_has_its_part(field: str, table: Mapping[str, object]) -> None:
    assert set(table) == set(get_args(get_type_hints(Recipe)[field]))
