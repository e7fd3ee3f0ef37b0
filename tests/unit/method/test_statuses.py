"""The status of an explanation."""

import pytest

from gfi.method.inversion import StopReason
from gfi.method.statuses import decide_status


@pytest.mark.parametrize(
    ("reason", "area", "predicted", "kept", "settled", "wanted"),
    [
        (StopReason.FINISHED, 0.3, True, 0.5, True, "ok"),
        (StopReason.FINISHED, 0.0005, True, 0.5, True, "empty"),
        (StopReason.FINISHED, 0.97, True, 0.5, True, "full"),
        (StopReason.FINISHED, 0.3, True, 0.04, True, "target_lost"),
        (StopReason.FINISHED, 0.3, False, 0.04, True, "ok"),
        (StopReason.EMPTY, 0.3, True, 0.5, True, "empty"),
        (StopReason.CONSTANT, 0.3, True, 0.5, True, "constant"),
        (StopReason.NONFINITE, 0.3, True, 0.5, True, "nonfinite"),
        (StopReason.FINISHED, 0.3, True, 0.5, False, "not_settled"),
        (StopReason.FINISHED, 0.3, True, 0.04, False, "target_lost"),
        (StopReason.FINISHED, 0.97, True, 0.04, False, "full"),
        (StopReason.NONFINITE, 0.97, True, 0.04, False, "nonfinite"),
    ],
)
def test_the_first_status_that_applies_is_given(
    reason: StopReason, area: float, predicted: bool, kept: float, settled: bool, wanted: str
) -> None:
    status = decide_status(reason, area, predicted=predicted, probability=0.5, kept=kept, settled=settled)
    assert status == wanted
