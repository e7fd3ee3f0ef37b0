"""Boxes of a COCO annotation file: one JSON file for all images.

    {"images": [{"id", "file_name", "width", "height"}], "annotations": [{"image_id", "category_id", "bbox"}],
     "categories": [{"id", "name"}]}

`bbox` is [left, top, width, height] in pixels of a picture of width × height, counted from 0. `segmentation`, polygons
or run lengths, is the region of the object; an annotation without `bbox` has the box around it. A crowd (`iscrowd`) is
a difficult object. The whole file is read at once: 470 MB for the 118,000 images of train2017, about five times that in
memory.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from gfi.datasets.annotations.boxes import ImageBoxes, RawBox, around, decide, from_run_lengths
from gfi.datasets.annotations.regions import polygons_text, run_lengths_text
from gfi.datasets.errors import DatasetError


@dataclass(frozen=True)
class CocoImage:
    """One image: its name in the file, and its boxes."""

    file_name: str
    boxes: ImageBoxes


def read_coco(path: Path) -> list[CocoImage]:
    """The images of a COCO file in its order. Raises DatasetError if the file is none."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON: {error}") from None
    images, annotations = _rows(path, value, "images"), _rows(path, value, "annotations")
    categories = _rows(path, value, "categories")
    for row, name in (
        *((row, "id") for row in (*images, *categories)),
        *((row, name) for row in annotations for name in ("image_id", "category_id")),
    ):
        if isinstance(row.get(name), list | dict):
            raise DatasetError(f"{path}: the `{name}` {str(row[name])[:40]} is not a number or a text")
    names = {row.get("id"): str(row.get("name", "")) for row in categories}
    objects: dict[Any, list[Mapping[str, Any]]] = {}
    for row in annotations:
        objects.setdefault(row.get("image_id"), []).append(row)
    read = []
    for image in images:
        if not isinstance(image.get("file_name"), str):
            raise DatasetError(f"{path}: image {image.get('id')!r} has no `file_name`")
        read.append(CocoImage(image["file_name"], _boxes(image, objects.get(image.get("id"), []), names)))
    return read


def _rows(path: Path, value: Any, name: str) -> list[Mapping[str, Any]]:
    rows = value.get(name) if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DatasetError(
            f"{path} is not a COCO annotation file: it has no list `{name}`; annotations of boxes have images,"
            " annotations and categories"
        )
    return rows


def _boxes(image: Mapping[str, Any], rows: list[Mapping[str, Any]], names: Mapping[Any, str]) -> ImageBoxes:
    try:
        # a box without area marks nothing; COCO's own files have some
        raw = [box for row in rows if (box := _raw(row, names)) is not None]
        read = decide(raw, "pixel")
    except DatasetError as error:
        return ImageBoxes(error=str(error))
    height, width = image.get("height"), image.get("width")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        return read
    return replace(read, boxes=tuple(replace(box, frame=(height, width)) for box in read.boxes))


def _raw(row: Mapping[str, Any], names: Mapping[Any, str]) -> RawBox | None:
    label = names.get(row.get("category_id"))
    if not label:
        raise DatasetError(f"category {row.get('category_id')!r} of annotation {row.get('id')!r} has no name")
    sides, difficult, outline = row.get("bbox"), bool(row.get("iscrowd")), row.get("segmentation")
    if not sides:
        if not outline:
            raise DatasetError(f"annotation {row.get('id')!r} has neither `bbox` nor `segmentation`")
        if isinstance(outline, dict):
            return from_run_lengths(outline, label, difficult)
        polygons = _polygons(row)
        whole = around([point for polygon in polygons for point in polygon], label, difficult)
        return replace(whole, outline=polygons_text(polygons))
    try:
        left, top, width, height = map(float, sides)
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"the `bbox` of annotation {row.get('id')!r} is not four numbers") from None
    if width <= 0 or height <= 0:
        return None
    text = None
    if outline:
        text = run_lengths_text(outline) if isinstance(outline, dict) else polygons_text(_polygons(row))
    return RawBox(label, left, top, left + width, top + height, difficult, outline=text)


def _polygons(row: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    try:
        flat = [[float(number) for number in polygon] for polygon in row["segmentation"]]
        if not all(map(math.isfinite, chain.from_iterable(flat))):
            raise ValueError("not finite")
        return [list(zip(numbers[::2], numbers[1::2], strict=True)) for numbers in flat]
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"the polygon of annotation {row.get('id')!r} is not pairs of numbers") from None
