"""Insertion (Petsiuk, Das and Saenko, RISE, 2018): how fast the class appears when marked pixels come first.

Begins with the blurred image (σ = 11, as the paper's fill) and puts the photograph's pixels back in
mask order, H·W/28 a step; the score is the area under the target's probability. **Higher is better.**
"""

from torch import Tensor

from gfi.metrics.batched_probabilities import BATCH, Probabilities
from gfi.metrics.curves import Curve, Fill, trace
from gfi.metrics.fills import blurred
from gfi.metrics.sample import Sample


def insertion(
    probabilities: Probabilities,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    fill: Fill | None = None,
    batch: int = BATCH,
) -> Curve:
    """Areas (N,) in [0, 1] and curves (N, 29).

    images: (N, C, H, W) normalised; masks: (N, 1, H, W); targets: (N,) class indices; fill: what stands
    there before a pixel is inserted, default the blurred image. See `gfi.metrics.curves`.
    """
    base = blurred(images) if fill is None else fill
    return trace(probabilities, images, masks, targets, base, "kept", batch)


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"insertion": float(insertion(*sample.batch).area[0])}
