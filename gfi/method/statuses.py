"""How the status of an explained image is decided.

`ok` says what was checked and no more: the optimiser ended with a mask that is neither empty nor full, the kept part
still shows the target where that was the prediction, and, where the recipe looks, the mask had settled. `paper` and
`released` run a fixed schedule and never look, so they cannot say `not_settled`.
"""

from gfi.domain.statuses import ImageStatus
from gfi.method.inversion import StopReason

EMPTY_AREA = 0.001
"""A mask whose mean is below this covers no visible part of the image: status `empty`. (One cell of a
14×14 grid is 0.005.)"""
FULL_AREA = 0.95
"""A mask whose mean is above this leaves nothing out: status `full`."""
TARGET_KEPT = 0.1
"""Where the target was the prediction and the kept image has less than this share of its probability, the
mask does not explain it: status `target_lost`."""

_FROZEN = {
    StopReason.EMPTY: ImageStatus.EMPTY,
    StopReason.CONSTANT: ImageStatus.CONSTANT,
    StopReason.NONFINITE: ImageStatus.NONFINITE,
}


def decide_status(
    reason: StopReason, area: float, *, predicted: bool, probability: float, kept: float, settled: bool = True
) -> ImageStatus:
    """The status of one explanation: the first that applies of what froze it, `empty`, `full`, `target_lost`,
    `not_settled`, `ok`.

    area: mean of the mask. predicted: the target is the class that the network predicts for the photograph.
    probability, kept: of the target, on the photograph and on its kept part. settled: False where the recipe looks and
    the mask still moved at the last look.
    """
    if reason in _FROZEN:
        return _FROZEN[reason]
    if area < EMPTY_AREA:
        return ImageStatus.EMPTY
    if area > FULL_AREA:
        return ImageStatus.FULL
    if predicted and kept < TARGET_KEPT * probability:
        return ImageStatus.TARGET_LOST
    return ImageStatus.OK if settled else ImageStatus.NOT_SETTLED
