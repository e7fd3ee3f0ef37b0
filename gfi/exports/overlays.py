"""Pictures in folders that mirror the dataset: the mask over the photograph, as PNG.

Where a photograph cannot be read, or is not the one that was explained, the mask alone is written, grey.
"""

from collections.abc import Sequence

from gfi.domain.geometry import fitted, place
from gfi.exports.export import Export, Item
from gfi.exports.pieces import Files, Kept, Sink, copy_other_files, json_line
from gfi.report.overlays import grey, overlay, png, shrink

LONGEST = 768
"""Pixels of the longer side."""
LIST = "overlays.jsonl"


def piece(export: Export, items: Sequence[Item]) -> Files:
    """A picture for each mask, and a line that names it."""
    lines = []
    for item in items:
        if item.mask is None:
            continue
        rank = item.result.target_rank
        name = f"{item.path}.{rank}.png" if rank else f"{item.path}.png"
        photo = item.photograph()
        lines.append(
            json_line(
                {
                    "file": name,
                    "row": item.result.row,
                    "key": item.result.key,
                    "class": item.class_name,
                    "photograph": photo is not None,
                    "provenance": export.provenance,
                }
            )
        )
        if photo is not None:
            photo = shrink(photo, LONGEST)
            size = (photo.shape[0], photo.shape[1])
            yield name, png(overlay(photo, place(item.mask, size, item.result.box_at(size))))
        else:
            size = fitted(item.size or item.mask.shape, LONGEST)
            yield name, png(grey(place(item.mask, size, item.result.box_at(size))))
    yield LIST, b"".join(lines)


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """All pictures, and `overlays.jsonl`, which says what each shows."""
    copy_other_files(kept, sink, LIST)
    with sink.open(LIST) as out:
        for data in kept.named(LIST):
            out.write(data)
