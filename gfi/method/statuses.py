"""How the status of an explained image is decided.

`ok` says only what was checked: the optimiser ended with a mask that is neither empty nor full; the kept part still
shows the target, if the target was the prediction; and the mask had settled, if the recipe checks that. It does not say
that the mask is a good explanation. `paper` and `released` run a fixed number of steps and never check whether the mask
has settled, so they never give `not_settled`.
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
    """The status of one explanation.

    The first that applies of: what froze the row (`nonfinite`, `empty`, `constant`), `empty`, `full`, `target_lost`,
    `not_settled`, `ok`.

    area: mean of the mask. predicted: whether the target is the class that the network predicts for the image.
    probability, kept: of the target, on the image and on its kept part. settled: False if the recipe checks settling
    and the mask still moved at the last check.

    >>> str(decide_status(StopReason.FINISHED, 0.2, predicted=True, probability=0.9, kept=0.01))
    'target_lost'
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
