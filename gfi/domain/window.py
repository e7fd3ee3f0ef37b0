"""Which values of a file with more than 8 bits per sample become black and white: `input.window` of a model file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ADVICE = 'a window is [low, high] in the values of the file, or "percentile 0.5 99.5" of the single image'


@dataclass(frozen=True)
class Window:
    """low becomes black and high white. percentile: both are percentiles of the values of each image, so the same value
    can be a different grey in another image."""

    low: float
    high: float
    percentile: bool = False

    def __post_init__(self) -> None:
        limits = (0.0, 100.0) if self.percentile else (-math.inf, math.inf)
        within = limits[0] <= self.low and self.high <= limits[1] and math.isfinite(self.high - self.low)
        if not (self.low < self.high and within):
            raise ValueError(f"{self.to_json()} is not a window: {_ADVICE}")

    @staticmethod
    def parse(value: Any) -> "Window":
        """The window from its JSON or TOML form. Raises ValueError for anything else."""
        words: Sequence[Any] = value
        if isinstance(value, str):
            kind, _, rest = value.strip().partition(" ")
            if kind != "percentile":
                raise ValueError(f"{value[:60]!r} is not a window: {_ADVICE}")
            words = rest.split()
        try:
            low, high = (float(word) for word in words)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{str(value)[:60]!r} is not a window: {_ADVICE}") from None
        return Window(low, high, isinstance(value, str))

    @staticmethod
    def of_model(record: Mapping[str, Any]) -> "Window | None":
        """The window that a registered model's record names; None: photographs are read as their files say."""
        value = record.get("preprocess", {}).get("window")
        return None if value is None else Window.parse(value)

    def to_json(self) -> list[float] | str:
        """As `parse` reads it."""
        return f"percentile {self.low:g} {self.high:g}" if self.percentile else [self.low, self.high]


@dataclass(frozen=True)
class AppliedWindow:
    """How the samples of a photograph became 0 … 255: low became black and high white.

    source: where the window comes from, for users.
    """

    low: float
    high: float
    source: str

    def __str__(self) -> str:
        return f"{self.low:g} is black and {self.high:g} white ({self.source})"
