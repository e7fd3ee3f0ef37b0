"""COCO: images, categories, and the region of each mask as run lengths with its box.

    {"info", "licenses", "images": [{id, file_name, width, height}],
     "annotations": [{id, image_id, category_id, segmentation: {size, counts}, bbox, area, iscrowd, score}],
     "categories": [{id, name}]}

https://cocodataset.org/#format-data. `score` is the mean of the mask in the region, as in COCO's results. The category
is the class explained; its id is the model's index plus 1, since COCO's ids begin at 1.
"""

import json
from collections.abc import Sequence
from typing import Any

from gfi.exports.export import Export, Item
from gfi.exports.pieces import Files, Kept, Sink, json_line, write_list
from gfi.exports.regions import box_of, coco_counts

IMAGES, ANNOTATIONS = "images", "annotations"
UNNAMED = 0
"""The category of a mask without a class."""


def piece(export: Export, items: Sequence[Item]) -> Files:
    """Lines of images and annotations."""
    images: dict[int, bytes] = {}
    annotations = []
    for item in items:
        if item.size is None:
            continue
        result, (height, width) = item.result, item.size
        images[result.row] = json_line(
            {
                "id": result.row,
                "file_name": result.key,
                "width": width,
                "height": height,
                "gfi_status": str(result.status),
                "gfi_label": result.label,
            }
        )
        if (annotation := _annotation(export, item)) is not None:
            annotations.append(json_line(annotation))
    yield IMAGES, b"".join(images.values())
    yield ANNOTATIONS, b"".join(annotations)


def _annotation(export: Export, item: Item) -> dict[str, Any] | None:
    placed = item.placed()
    region = item.region()
    box = None if region is None else box_of(region)
    if placed is None or region is None or box is None:
        return None
    left, top, right, bottom = box
    result = item.result
    return {
        "id": result.row * 100 + result.target_rank + 1,
        "image_id": result.row,
        "category_id": UNNAMED if result.target is None else result.target + 1,
        "segmentation": {"size": list(region.shape), "counts": coco_counts(region)},
        "bbox": [left, top, right - left, bottom - top],
        "area": int(region.sum()),
        "iscrowd": 0,
        "score": round(float(placed[region].mean()), 6),
        "probability": result.probability,
    }


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """One JSON document. Only categories that occur are listed."""
    with sink.open("coco.json") as out:
        out.write(b'{"info": ' + json.dumps({"description": "gfi", **export.origin()}).encode())
        out.write(b', "licenses": [], "images": ')
        write_list(out, kept.lines(IMAGES))
        out.write(b', "annotations": ')
        used: set[int] = set()

        def noted() -> Any:
            for line in kept.lines(ANNOTATIONS):
                used.add(json.loads(line)["category_id"])
                yield line

        write_list(out, noted())
        categories = [{"id": one, "name": _name(export, one), "supercategory": ""} for one in sorted(used)]
        out.write(b', "categories": ' + json.dumps(categories).encode() + b"}\n")


def _name(export: Export, category: int) -> str:
    if category == UNNAMED:
        return "mask"
    return export.name(category - 1) or str(category - 1)
