"""How the status of an explained image is decided.

`ok` says only what was checked: there is a mask that is neither empty nor full; what it keeps and removes of the target
stands out from what copies of it elsewhere in the image do (`gfi.method.rows`), if the target was the prediction; and
the mask had settled, if the recipe checks that. It does not say that the mask is a good explanation. `paper` and
`released` run a fixed number of steps and never check whether the mask has settled, so they never give `not_settled`.
"""

from gfi.domain.statuses import ImageStatus
from gfi.method.inversion import StopReason

EMPTY_AREA = 0.001
"""A mask whose mean is below this covers no visible part of the image: status `empty`. (One cell of a
14×14 grid is 0.005.)"""
FULL_AREA = 0.95
"""A mask whose mean is above this leaves nothing out: status `full`."""
LEAST_LEAD = 1.5
"""A mask whose lead over its shifted copies is below this holds the target no better than elsewhere: status
`target_lost`. `make bench-status` measures it: of random masks about 90 % are below, of those of `tuned` 0 to 10 %."""

_FROZEN = {
    StopReason.EMPTY: ImageStatus.EMPTY,
    StopReason.CONSTANT: ImageStatus.CONSTANT,
    StopReason.NONFINITE: ImageStatus.NONFINITE,
}


def decide_status(
    reason: StopReason, area: float, *, lead: float | None = None, settled: bool = True
) -> ImageStatus:
    """The status of one explanation.

    The first that applies of: what froze the row (`nonfinite`, `empty`, `constant`), `empty`, `full`, `target_lost`,
    `not_settled`, `ok`.

    area: mean of the mask. lead: over the mask's shifted copies; None if the target is not the class that the network
    predicts, as there may be nothing to keep then. settled: False if the recipe checks settling and the mask still
    moved at the last check.

    >>> str(decide_status(StopReason.FINISHED, 0.2, lead=0.3))
    'target_lost'
    """
    if reason in _FROZEN:
        return _FROZEN[reason]
    if area < EMPTY_AREA:
        return ImageStatus.EMPTY
    if area > FULL_AREA:
        return ImageStatus.FULL
    if lead is not None and lead < LEAST_LEAD:
        return ImageStatus.TARGET_LOST
    return ImageStatus.OK if settled else ImageStatus.NOT_SETTLED
