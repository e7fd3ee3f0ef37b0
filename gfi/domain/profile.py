"""The execution profile: what must be equal for two runs to give the same bits."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Profile:
    """What must be equal for two runs to give the same bits (on the same kind of processor)."""

    model_digest: str
    device_kind: str
    """"cpu" or "cuda:<name of the card>"."""
    dtype: str
    threads: int
    resolution: tuple[int, int]
    """(H, W) of the input."""
    batch: int

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "resolution": list(self.resolution)}
