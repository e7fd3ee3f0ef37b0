"""An array that arrived, as a mask: (h, w) float32 in [0, 1]. numpy and Pillow only."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.imports.errors import ImportRefused

LARGEST_SIDE = 224
"""Masks are stored with at most this many cells along a side; larger ones are averaged."""
MOST_VALUES = 1 << 26
_CHANNELS = 4
_WHOLE = (np.uint8, np.uint16)


class MaskValues(NamedTuple):
    """mask: (h, w) in [0, 1]; None where a value is not finite. scaled: its values were not in [0, 1]."""

    mask: NDArray[np.float32] | None
    scaled: bool


def check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Raises ImportRefused for an array that is too large, or has no numbers: before it is read."""
    if dtype.kind not in "fiub":
        raise ImportRefused(f"{where} holds {dtype}, not numbers")
    values = math.prod(shape)
    if values > MOST_VALUES:
        raise ImportRefused(f"{where} has {values:,} values; a mask has at most {MOST_VALUES:,}")


def of_whole_numbers(values: NDArray[Any]) -> int | None:
    """The largest value of an array of whole numbers of 8 or 16 bits; None for others, and for an empty one."""
    return int(values.max()) if values.dtype in _WHOLE and values.size else None


def as_mask(values: NDArray[Any], where: str, shares: bool = False) -> MaskValues:
    """The mask of an array (h, w), or of attributions (C, h, w) or (h, w, C) with C ≤ 4, which are added.

    Truth values, and whole numbers of 8 or 16 bits, are read as shares of their largest value, except that a mask of
    zeros and ones is one; with `shares`, it is read as the others are. Other numbers within [0, 1] are kept. Of the
    rest the positive part is divided by its maximum: negative attributions become 0. where: the name, for messages.
    """
    check_shape(values.shape, values.dtype, where)
    array = np.asarray(values)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    channels = _channels(array.shape)
    if channels is None and array.ndim != 2:
        raise ImportRefused(
            f"{where} has the shape {values.shape}; a mask is (h, w), attributions are (C, h, w)"
        )
    if min(array.shape) < 1:
        raise ImportRefused(f"{where} is empty: its shape is {values.shape}")
    kind = array.dtype
    made = array.astype(np.float64)
    if kind in _WHOLE and (shares or made.max() > 1):
        made /= np.iinfo(kind).max
    if channels is not None:
        made = made.mean(channels) if kind.kind in "ub" else made.sum(channels)
    if not np.isfinite(made).all():
        return MaskValues(None, False)
    scaled = bool(made.min() < 0 or made.max() > 1)
    if scaled:
        made = np.maximum(made, 0)
        made = made / made.max() if made.max() > 0 else made
    return MaskValues(_averaged(made.astype(np.float32)), scaled)


def _channels(shape: tuple[int, ...]) -> int | None:
    """The axis of the channels; None without one."""
    if len(shape) != 3:
        return None
    axis = 0 if shape[0] <= shape[2] else 2
    return axis if shape[axis] <= _CHANNELS else None


def _averaged(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = (min(side, LARGEST_SIDE) for side in mask.shape)
    if (height, width) == mask.shape:
        return mask
    smaller = Image.fromarray(mask).resize((width, height), Image.Resampling.BOX)
    return np.clip(np.asarray(smaller, np.float32), 0, 1)
