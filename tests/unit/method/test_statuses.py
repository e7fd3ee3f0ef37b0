"""The status of an explanation."""

import pytest

from gfi.method.inversion import StopReason
from gfi.method.statuses import LEAST_LEAD, decide_status


@pytest.mark.parametrize(
    ("reason", "area", "lead", "settled", "wanted"),
    [
        (StopReason.FINISHED, 0.3, 9.0, True, "ok"),
        (StopReason.FINISHED, 0.3, LEAST_LEAD, True, "ok"),
        (StopReason.FINISHED, 0.0005, 9.0, True, "empty"),
        (StopReason.FINISHED, 0.97, 9.0, True, "full"),
        (StopReason.FINISHED, 0.3, 1.4, True, "target_lost"),
        (StopReason.FINISHED, 0.3, None, True, "ok"),
        (StopReason.EMPTY, 0.3, 9.0, True, "empty"),
        (StopReason.CONSTANT, 0.3, 9.0, True, "constant"),
        (StopReason.NONFINITE, 0.3, 9.0, True, "nonfinite"),
        (StopReason.FINISHED, 0.3, 9.0, False, "not_settled"),
        (StopReason.FINISHED, 0.3, -2.0, False, "target_lost"),
        (StopReason.FINISHED, 0.97, -2.0, False, "full"),
        (StopReason.NONFINITE, 0.97, -2.0, False, "nonfinite"),
    ],
)
def test_the_first_status_that_applies_is_given(
    reason: StopReason, area: float, lead: float | None, settled: bool, wanted: str
) -> None:
    assert decide_status(reason, area, lead=lead, settled=settled) == wanted
