"""The execution profile of a run. Loads no torch."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Profile:
    """What must be equal for two runs to give the same bits, on the same kind of processor."""

    model_digest: str
    """`Classifier.digest`, SHA-256 (hex)."""
    device_kind: str
    """"cpu", "mps" or "cuda:<name of the card>"."""
    dtype: str
    """"float32", "float64", "bfloat16", "tf32", or "float32+graphs" and the like: a name in `gfi.method.precision`."""
    threads: int
    """torch's threads on the CPU."""
    resolution: tuple[int, int]
    """(H, W) of the input in pixels."""
    batch: int
    """Images optimised together."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "resolution": list(self.resolution)}
