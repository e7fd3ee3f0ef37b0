"""The levels of a nightly gate sum to that of the year."""

import pytest

from gfi.drift.spending import Spending


@pytest.mark.parametrize("looks", [1, 12, 365])
def test_the_levels_of_any_number_of_comparisons_add_up_to_at_most_alpha(looks: int) -> None:
    spending = Spending(0.05, looks)
    spent = [spending.level(look) for look in range(1, 5000)]
    assert min(spent) > 0
    assert 0.9 * 0.05 <= sum(spent) <= 0.05


def test_planned_comparisons_have_equal_levels_and_the_output_says_so() -> None:
    spending = Spending(0.05, 365)
    assert spending.level(1) == spending.level(365) == pytest.approx(0.045 / 365)
    assert "comparison 7 of 365 planned this year" in spending.sentence(7)
    assert "comparison 366 this year, beyond the 365 of comparisons_per_year" in spending.sentence(366)
    with pytest.raises(ValueError, match="counted from 1"):
        spending.level(0)
