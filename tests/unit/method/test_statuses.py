"""The status of an explanation."""

import pytest

from gfi.method.inversion import StopReason
from gfi.method.statuses import decide_status


@pytest.mark.parametrize(
    ("reason", "area", "predicted", "kept", "wanted"),
    [
        (StopReason.FINISHED, 0.3, True, 0.5, "ok"),
        (StopReason.FINISHED, 0.0005, True, 0.5, "empty"),
        (StopReason.FINISHED, 0.97, True, 0.5, "full"),
        (StopReason.FINISHED, 0.3, True, 0.04, "target_lost"),
        (StopReason.FINISHED, 0.3, False, 0.04, "ok"),
        (StopReason.EMPTY, 0.3, True, 0.5, "empty"),
        (StopReason.CONSTANT, 0.3, True, 0.5, "constant"),
        (StopReason.NONFINITE, 0.3, True, 0.5, "nonfinite"),
    ],
)
def test_the_first_status_that_applies_is_given(
    reason: StopReason, area: float, predicted: bool, kept: float, wanted: str
) -> None:
    assert decide_status(reason, area, predicted=predicted, probability=0.5, kept=kept) == wanted
