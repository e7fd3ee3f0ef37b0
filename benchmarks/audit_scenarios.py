"""What `make bench-audit` plants: see `benchmarks.audit`."""

from dataclasses import dataclass

from benchmarks.planted import Plant

TARGET = 3
"""The class that something is planted into."""


@dataclass(frozen=True)
class Scenario:
    """What is planted into the training images and into the audited ones."""

    name: str
    trained: Plant
    audited: Plant
    boxes: bool = False
    training: bool = False
    """Whether the shortcuts are also looked for in the training images (`gfi audit --training`)."""

    @property
    def share(self) -> float:
        """The share of the images that are changed."""
        return self.audited.share


def _both(name: str, plant: Plant, boxes: bool = False, training: bool = False) -> Scenario:
    return Scenario(name, plant, plant, boxes, training)


CLEAN = Plant("none", TARGET, 0.0)
SCENARIOS = (
    _both("clean", CLEAN, True),
    _both("corner", Plant("corner", TARGET, 1.0), True),
    _both("corner", Plant("corner", TARGET, 0.5), True),
    _both("corner", Plant("corner", TARGET, 0.3), True, training=True),
    _both("everywhere", Plant("corner", None, 0.5)),
    Scenario("afterwards", CLEAN, Plant("corner", TARGET, 0.5), training=True),
    _both("moving", Plant("moving", TARGET, 0.5)),
    _both("two", Plant("two", TARGET, 0.5)),
    _both("tint", Plant("tint", TARGET, 0.5)),
    _both("blur", Plant("blur", TARGET, 0.5)),
)
