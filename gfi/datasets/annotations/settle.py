"""Fits boxes to the photograph, once, when the photograph is decoded and its size is known.

    settled = settle_boxes(entry.boxes, photograph.size, photograph.orientation)
    settled.boxes      in pixels of the photograph, inside it, each over the centre of at least one pixel
    settled.repairs    what was repaired, as sentences
    settled.error why there are none: they are invalid or ambiguous

A box outside the photograph is never measured, because no mask can mark it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.annotations import regions
from gfi.datasets.annotations.boxes import Box, ImageBoxes
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.geometry import pixels

CUT = "a box is cut at the photograph's edge"
SCALED = "boxes of a picture of another size are scaled to the photograph"
SWAPPED_SIZE = "the annotation swaps width and height; its boxes are read as they are"
TURNED = "boxes of the picture as it is stored are turned upright with the photograph"

_OVERSHOOT = 0.05
"""How far beyond the right or lower edge a box may reach, as a share of that side, if its file does not say how large
the picture is: a box that reaches further probably belongs to a larger original."""

UNUSABLE_BOXES = "boxes_unusable"
REPAIRED_BOXES = "boxes_repaired"
Sides = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxNote:
    """What a result says about the boxes of its image: why they are not used, or what was repaired. note_class: a short
    word for grouping."""

    text: str
    note_class: str

    def after(self, earlier: "BoxNote | None") -> "BoxNote":
        """Both notes as one, of the class of the earlier one."""
        return self if earlier is None else BoxNote(f"{earlier.text}; {self.text}", earlier.note_class)


UNSEEN_REGION = BoxNote("no IoU of the region: it lies outside what the network saw", "region_unseen")


def note_on(settled: ImageBoxes) -> BoxNote | None:
    """The note on settled boxes; None where nothing is to be said."""
    if settled.error is not None:
        return BoxNote(f"no box metric: {settled.error}", UNUSABLE_BOXES)
    return BoxNote("; ".join(settled.repairs), REPAIRED_BOXES) if settled.repairs else None


def settle_boxes(
    boxes: Sequence[Box],
    size: tuple[int, int],
    orientation: int = 1,
    read: Callable[[str, str | None], bytes] | None = None,
) -> ImageBoxes:
    """The boxes of one image in pixels of the photograph: all of them, or none and the reason as `error`.

    size: (H, W) of the photograph, upright. orientation: by EXIF, of the picture as it is stored. read: the bytes of a
    mask image, by its key and version; where that raises Unavailable, so does this.
    """
    repairs: dict[str, None] = {}
    try:
        polygons = [None if box.outline is None else regions.points_of(box.outline) for box in boxes]
        for drawn in polygons:
            regions.check_polygons(drawn or ())
        # The corners of polygons are settled with the boxes, as boxes without area.
        corners = [
            (at, (x, y, x, y)) for at, them in enumerate(polygons) for them_ in them or () for x, y in them_
        ]
        wanted = [(box, box.sides) for box in boxes] + [(boxes[at], sides) for at, sides in corners]
        placed = _in_pixels(wanted, size, orientation, repairs)
        points = iter(placed[len(boxes) :])
        settled = []
        for box, sides, drawn in zip(boxes, placed, polygons, strict=False):
            if drawn is not None:
                outline = [[(next(points)[:2]) for _ in polygon] for polygon in drawn]
                box = replace(box, outline=regions.polygons_text(outline))
            elif box.outline is not None:
                box, sides = _with_bitmap(box, sides, size, orientation, read)
            box = _inside(box, sides, size, repairs)
            if drawn is not None and box.outline and not regions.bitmap(box.outline, size).any():
                raise DatasetError(f"the region in {box.shown()} covers the centre of no pixel")
            settled.append(box)
    except Unavailable:
        raise
    except DatasetError as error:
        return ImageBoxes(error=str(error))
    return ImageBoxes(tuple(settled), tuple(repairs))


def region_of(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The pixels (H, W) of the objects, of one without an outline those of its box; None where no object has one."""
    if all(box.outline is None for box in boxes):
        return None
    drawn = np.zeros(size, np.bool_)
    for box in boxes:
        if box.outline is not None:
            drawn |= regions.bitmap(box.outline, size)
        else:
            top, bottom, left, right = pixels(box.sides, size)
            drawn[top:bottom, left:right] = True
    return drawn


def _with_bitmap(
    box: Box,
    sides: Sides,
    size: tuple[int, int],
    orientation: int,
    read: Callable[[str, str | None], bytes] | None,
) -> tuple[Box, Sides]:
    """A box whose region is a mask, at the size of the photograph.

    The region also says where the box is, if it is a mask image, or if it was scaled or turned and no frame says how
    the box follows.
    """
    assert box.outline is not None
    named = regions.mask_of(box.outline)
    if named is None:
        mask = regions.bitmap(box.outline, size)
        outline, around = regions.settled(regions.upright(mask, size, orientation))
        known = box.frame is not None or mask.shape == size
        return replace(box, outline=outline), sides if known else around
    if read is None:
        raise DatasetError(f"the mask {named[0]} is not read here")
    outline, around = regions.settled(regions.upright(regions.read_mask(read(*named)), size, orientation))
    return replace(box, outline=outline), around


def _in_pixels(
    boxes: Sequence[tuple[Box, Sides]], size: tuple[int, int], orientation: int, repairs: dict[str, None]
) -> list[Sides]:
    height, width = size
    frames = {box.frame for box, _ in boxes if box.unit == "pixel"}
    if len(frames) > 1:
        raise DatasetError("its boxes are of pictures of different sizes")
    frame = frames.pop() if frames else None
    in_pixels = [sides for box, sides in boxes if box.unit == "pixel"]
    if frame is not None and frame != size:
        in_pixels = _from_frame(frame, in_pixels, size, orientation, repairs)
    rest = iter(in_pixels)
    share = {"fraction": 1.0, "percent": 0.01}
    placed = []
    for box, sides in boxes:
        factor = share.get(box.unit)
        placed.append(next(rest) if factor is None else _scaled(sides, width * factor, height * factor))
    return placed


def _from_frame(
    frame: tuple[int, int],
    boxes: list[Sides],
    size: tuple[int, int],
    orientation: int,
    repairs: dict[str, None],
) -> list[Sides]:
    """Boxes of a picture of `frame` (H, W) on a photograph of another `size`."""
    across, down = size[1] / frame[1], size[0] / frame[0]
    if max(abs(frame[0] - size[0]), abs(frame[1] - size[1])) <= 1:
        return boxes
    # If the picture was resized, the other side fits to a pixel.
    if min(abs(frame[0] * across - size[0]), abs(frame[1] * down - size[1])) <= 1:
        repairs[SCALED] = None
        return [_scaled(sides, across, down) for sides in boxes]
    if frame == size[::-1]:
        readings: dict[str, list[Sides]] = {}
        if all(_fits(sides, size) for sides in boxes):
            readings[SWAPPED_SIZE] = boxes
        if orientation in _UPRIGHT and all(_fits(sides, frame) for sides in boxes):
            readings[TURNED] = [_UPRIGHT[orientation](sides, frame) for sides in boxes]
        if len(readings) == 1:
            ((repair, settled),) = readings.items()
            repairs[repair] = None
            return settled
    raise DatasetError(
        f"its boxes are of a picture of {frame[1]}×{frame[0]} pixels, and the photograph has {size[1]}×{size[0]}"
    )


def _scaled(sides: Sides, across: float, down: float) -> Sides:
    left, top, right, bottom = sides
    return left * across, top * down, right * across, bottom * down


def _fits(sides: Sides, size: tuple[int, int]) -> bool:
    left, top, right, bottom = sides
    return left >= -1 and top >= -1 and right <= size[1] + 1 and bottom <= size[0] + 1


# How a picture stored with EXIF orientation 5 … 8 and (H, W) of `frame` is turned upright.
_UPRIGHT: dict[int, Callable[[Sides, tuple[int, int]], Sides]] = {
    5: lambda s, frame: (s[1], s[0], s[3], s[2]),
    6: lambda s, frame: (frame[0] - s[3], s[0], frame[0] - s[1], s[2]),
    7: lambda s, frame: (frame[0] - s[3], frame[1] - s[2], frame[0] - s[1], frame[1] - s[0]),
    8: lambda s, frame: (s[1], frame[1] - s[2], s[3], frame[1] - s[0]),
}


def _inside(box: Box, sides: Sides, size: tuple[int, int], repairs: dict[str, None]) -> Box:
    """The part of a box that lies on the photograph."""
    height, width = size
    left, top, right, bottom = sides
    shown, photograph = box.shown(), f"the photograph of {width}×{height} pixels"
    cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise DatasetError(f"the box {shown} lies outside {photograph}")
    beyond = max((right - width) / width, (bottom - height) / height)
    unsure = box.unit == "pixel" and box.frame is None
    if unsure and beyond > _OVERSHOOT and max(right - width, bottom - height) > 2:
        raise DatasetError(
            f"the box {shown} reaches far beyond {photograph}; is it of a larger original, or in percent "
            "(`?unit=percent`)?"
        )
    rows_and_columns = pixels(cut, size)
    if rows_and_columns[0] >= rows_and_columns[1] or rows_and_columns[2] >= rows_and_columns[3]:
        raise DatasetError(f"the box {shown} covers no pixel of {photograph}")
    if max(abs(a - b) for a, b in zip(cut, sides, strict=True)) > 1:
        repairs[CUT] = None
    left, top, right, bottom = cut
    return replace(box, left=left, top=top, right=right, bottom=bottom, unit="pixel", frame=None)
