"""Deletion (Petsiuk, Das and Saenko, RISE, 2018): how fast the class goes when marked pixels go first.

Pixels leave in mask order, H·W/28 a step, and the mean colour (zero after normalisation) takes their
place; the score is the area under the target's probability. **Lower is better.** A random order
destroys the image's structure too, so read the score beside the controls (`gfi.peers`), and beside a
fill the mask's maker never saw (`gfi.metrics.fills`).
"""

from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities
from gfi.metrics.curves import Curve, Fill, trace
from gfi.metrics.sample import Sample


def deletion(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill | None = None,
    batch: int = BATCH,
) -> Curve:
    """Areas (N,) in [0, 1] and curves (N, 29).

    images: (N, C, H, W) normalised; masks: (N, 1, H, W); targets: (N,) class indices; fill: what
    replaces deleted pixels, default zero. See `gfi.metrics.curves`.
    """
    base = images.new_zeros(()) if fill is None else fill
    return trace(probabilities, images, masks, targets, base, "removed", batch)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"deletion": float(deletion(*sample.batch).area[0])}
