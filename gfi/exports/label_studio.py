"""Label Studio: tasks with predictions, the region of each mask as a brush and as a box.

    [{"data": {"image": ADDRESS, …}, "predictions": [{"model_version", "score", "result": [brush, rectangle]}]}]

https://labelstud.io/guide/tasks and https://labelstud.io/guide/export#Brush. The labelling configuration that shows
them is written beside the tasks. Label Studio reads the photographs from their addresses: `images` chooses what is
written in front of the keys, for example `/data/local-files/?d=photographs/` or `https://…/`.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from gfi.exports.export import Export, Item
from gfi.exports.keys import xml_text
from gfi.exports.pieces import Files, Kept, Sink, json_line, write_list
from gfi.exports.regions import box_of, label_studio_rle

TASKS, LABELS = "tasks", "labels"


def piece(export: Export, items: Sequence[Item]) -> Files:
    """A task for each image."""
    tasks: list[bytes] = []
    labels: set[str] = set()
    for row, of_image in groupby(items, key=lambda item: item.result.row):
        group = list(of_image)
        result = group[0].result
        shapes = [shape for item in group for shape in _shapes(item)]
        labels.update(item.class_name for item in group)
        task: dict[str, Any] = {
            "data": {
                "image": group[0].address(),
                "key": result.key,
                "row": row,
                "label": result.label,
                "status": str(result.status),
                "job": export.job.id,
                "provenance": export.provenance,
            }
        }
        if shapes:
            version = f"{export.job.config.model.reference} {export.job.config.method} {export.job.id}"
            task["predictions"] = [{"model_version": version, "score": result.probability, "result": shapes}]
        tasks.append(json_line(task))
    yield TASKS, b"".join(tasks)
    yield LABELS, b"".join(json_line(label) for label in sorted(labels))


def _shapes(item: Item) -> list[dict[str, Any]]:
    region = item.region()
    box = None if region is None else box_of(region)
    if region is None or box is None or item.size is None:
        return []
    left, top, right, bottom = box
    height, width = item.size
    common = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": "image"}
    name = f"{item.result.row}-{item.result.target_rank}"
    label = [xml_text(item.class_name)]  # as the labelling configuration has it
    return [
        {
            "id": f"{name}-mask",
            "type": "brushlabels",
            "from_name": "mask",
            **common,
            "value": {"format": "rle", "rle": label_studio_rle(region), "brushlabels": label},
        },
        {
            "id": f"{name}-box",
            "type": "rectanglelabels",
            "from_name": "box",
            **common,
            "value": {
                "x": 100 * left / width,
                "y": 100 * top / height,
                "width": 100 * (right - left) / width,
                "height": 100 * (bottom - top) / height,
                "rotation": 0,
                "rectanglelabels": label,
            },
        },
    ]


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """`tasks.json` and `labelling.xml`."""
    import json
    from xml.sax.saxutils import quoteattr

    with sink.open("tasks.json") as out:
        write_list(out, kept.lines(TASKS))
    labels = sorted({xml_text(json.loads(line)) for line in kept.lines(LABELS)})
    options = "".join(f"<Label value={quoteattr(label)}/>" for label in labels)
    with sink.open("labelling.xml") as out:
        out.write(
            (
                '<View><Image name="image" value="$image" zoom="true"/>'
                f'<BrushLabels name="mask" toName="image">{options}</BrushLabels>'
                f'<RectangleLabels name="box" toName="image">{options}</RectangleLabels></View>\n'
            ).encode()
        )
