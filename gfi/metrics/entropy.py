"""Entropy of the mask's mass: how evenly it is spread. `gfi.metrics.area` computes it and states the formula."""

from gfi.metrics.area import area
from gfi.metrics.sample import Sample


def measure(sample: Sample) -> dict[str, float]:
    """The column of this metric for one explained image."""
    return {"entropy": float(area(sample.mask[None]).entropy[0])}
