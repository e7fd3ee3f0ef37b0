"""What a removed place is filled with, and how a crop is pasted. Images are (H, W, 3) uint8 of the network's view."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.audit.places import Place


def ring(image: NDArray[np.uint8], place: Place) -> NDArray[np.uint8]:
    """The place filled with the mean colour of the pixels around it."""
    top, bottom, left, right = place.pixels(image.shape[:2])
    width = max(1, (bottom - top) // 4)
    outer = image[max(0, top - width) : bottom + width, max(0, left - width) : right + width]
    inner = image[top:bottom, left:right]
    count = outer.shape[0] * outer.shape[1] - inner.shape[0] * inner.shape[1]
    out = image.copy()
    if count > 0:
        total = outer.sum((0, 1), dtype=np.float64) - inner.sum((0, 1), dtype=np.float64)
        out[top:bottom, left:right] = np.round(total / count)
    return out


def border(image: NDArray[np.uint8], place: Place) -> NDArray[np.uint8]:
    """The place filled smoothly from its border: each pixel is the mean of the four border pixels in its row and
    column, weighted by nearness. Nothing of the inside is used, so a mark leaves no trace of its colours."""
    top, bottom, left, right = place.pixels(image.shape[:2])
    h, w, _ = image.shape
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    total = np.zeros((bottom - top, right - left, 3))
    weight = np.zeros((bottom - top, right - left, 1))
    sides = [
        (top > 0, image[top - 1, left:right][None], (rows - top + 1)[:, None, None]),
        (bottom < h, image[min(bottom, h - 1), left:right][None], (bottom - rows)[:, None, None]),
        (left > 0, image[top:bottom, left - 1][:, None], (columns - left + 1)[None, :, None]),
        (right < w, image[top:bottom, min(right, w - 1)][:, None], (right - columns)[None, :, None]),
    ]
    for exists, edge, distance in sides:
        if exists:
            total += edge / distance
            weight += 1 / distance
    out = image.copy()
    if weight.min() > 0:
        out[top:bottom, left:right] = np.round(total / weight)
    return out


FILLS = (ring, border)


def removed(image: NDArray[np.uint8], place: Place) -> list[NDArray[np.uint8]]:
    """The image with the place filled, once with each of FILLS."""
    return [fill(image, place) for fill in FILLS]


def pasted_patch(host: NDArray[np.uint8], patch: NDArray[np.uint8], place: Place) -> NDArray[np.uint8]:
    """The host with a patch (t, u, 4), RGBA, drawn over the place at its size."""
    top, bottom, left, right = place.pixels(host.shape[:2])
    drawn = Image.fromarray(patch, "RGBA").resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    shown = np.asarray(drawn, np.float64)
    out = host.copy()
    over = shown[..., 3:] / 255
    out[top:bottom, left:right] = np.round(over * shown[..., :3] + (1 - over) * out[top:bottom, left:right])
    return out


def pasted(host: NDArray[np.uint8], source: NDArray[np.uint8], place: Place) -> NDArray[np.uint8]:
    """The host with the source's pixels at the place; both have the same size."""
    top, bottom, left, right = place.pixels(host.shape[:2])
    out = host.copy()
    out[top:bottom, left:right] = source[top:bottom, left:right]
    return out
