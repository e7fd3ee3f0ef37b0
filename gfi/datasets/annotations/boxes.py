"""Boxes: where in an image an object is said to be.

A `Box` is half-open, in pixels of the original *after* EXIF orientation: the picture as a person sees it and
as `decode` returns it. It covers columns left … right−1 and rows top … bottom−1, so its area is
(right−left)·(bottom−top) and the whole picture is (0, 0, W, H).

Files count differently, and are translated when they are read:

- PASCAL VOC: one-based, both ends inside.  left = xmin−1, right = xmax.
- ImageNet (XML and LOC_*_solution.csv): zero-based (zeros occur), both ends inside.  left = xmin,
  right = xmax+1, cut at the picture's edge where its size is known.
- our own manifests: as above, [left, top, right, bottom].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gfi.datasets.errors import DatasetError


def check_text(what: str, text: str | None, limit: int = 512) -> None:
    """DatasetError unless Parquet and PostgreSQL can store and index `text`: UTF-8, no NUL, `limit` bytes."""
    try:
        if text is not None and ("\0" in text or len(text.encode()) > limit):
            raise DatasetError(f"{what} {text[:60]!r}… holds a NUL or is longer than {limit:,} bytes")
    except UnicodeEncodeError:
        raise DatasetError(f"{what} {text!r} is not Unicode; rename it") from None


@dataclass(frozen=True)
class Box:
    """One object: half-open, in original pixels after EXIF orientation. label: None for the image's own."""

    label: str | None
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool = False

    def __post_init__(self) -> None:
        check_text("a box's label", self.label)
        # Written so that NaN fails too.
        if not (0 <= self.left < self.right < 1e9 and 0 <= self.top < self.bottom < 1e9):
            raise DatasetError(
                f"box ({self.left:g}, {self.top:g}, {self.right:g}, {self.bottom:g}) is not "
                "0 ≤ left < right, 0 ≤ top < bottom"
            )

    @staticmethod
    def from_json(value: Any) -> "Box":
        """[left, top, right, bottom] or {"left", "top", "right", "bottom", "label"?, "difficult"?}."""
        label, difficult = None, False
        if isinstance(value, Mapping):
            unknown = set(value) - {"left", "top", "right", "bottom", "label", "difficult"}
            if unknown:
                raise DatasetError(f"a box has no {sorted(map(str, unknown))[0]!r}")
            label, difficult = value.get("label"), bool(value.get("difficult", False))
            value = [value.get(side) for side in ("left", "top", "right", "bottom")]
        if (
            not isinstance(value, Sequence)
            or len(value) != 4
            or not all(isinstance(side, int | float) and not isinstance(side, bool) for side in value)
        ):
            raise DatasetError("a box is [left, top, right, bottom] or an object with these four numbers")
        left, top, right, bottom = map(float, value)
        return Box(None if label is None else str(label), left, top, right, bottom, difficult)

    def to_json(self) -> dict[str, Any]:
        """The same with names, label and difficult left out where they say nothing."""
        named = {side: getattr(self, side) for side in ("left", "top", "right", "bottom")}
        return (
            named
            | ({"label": self.label} if self.label else {})
            | ({"difficult": True} if self.difficult else {})
        )
