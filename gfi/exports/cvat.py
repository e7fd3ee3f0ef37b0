"""CVAT: "CVAT for images 1.1", with the region of each mask and its box.

    <annotations><version>1.1</version><meta>…</meta>
      <image id name width height>
        <mask label source rle left top width height occluded z_order/>
        <box label source xtl ytl xbr ybr occluded z_order/>

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/. The run lengths go along the rows of the mask's box, of
outside first. Make a task with these images (of the archive, or from the same storage) and upload the annotations.
"""

from collections.abc import Sequence
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from gfi.exports.export import Export, Item
from gfi.exports.keys import xml_text
from gfi.exports.pieces import Files, Kept, Sink
from gfi.exports.regions import box_of, runs

IMAGES, LABELS = "images.xml", "labels"


def piece(export: Export, items: Sequence[Item]) -> Files:
    """The elements of these images, the labels that they use, and their photographs if asked for."""
    elements: list[str] = []
    labels: set[str] = set()
    for row, of_image in groupby(items, key=lambda item: item.result.row):
        group = list(of_image)
        first = group[0]
        if first.size is None:
            continue
        name = first.path if export.options.photographs else first.result.key
        head = f"<image id={quoteattr(str(row))} name={quoteattr(xml_text(name))}"
        shapes = "".join(_shapes(item) for item in group)
        labels.update(item.class_name for item in group)
        elements.append(f'{head} width="{first.size[1]}" height="{first.size[0]}">{shapes}</image>\n')
        if export.options.photographs and first.bytes is not None:
            yield f"images/{first.path}", first.bytes
    yield IMAGES, "".join(elements).encode()
    yield LABELS, "".join(f"{xml_text(label)}\n" for label in sorted(labels)).encode()


def _shapes(item: Item) -> str:
    region = item.region()
    box = None if region is None else box_of(region)
    if region is None or box is None:
        return ""
    left, top, right, bottom = box
    lengths = ", ".join(map(str, runs(region[top:bottom, left:right].ravel())))
    common = f'label={quoteattr(xml_text(item.class_name))} source="auto" occluded="0" z_order="0"'
    return (
        f'<mask {common} rle="{lengths}" left="{left}" top="{top}" width="{right - left}"'
        f' height="{bottom - top}"></mask>'
        f'<box {common} xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"></box>'
    )


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """`annotations.xml`, and the photographs below `images/` if asked for."""
    if export.options.photographs:
        _copy_photographs(kept, sink)
    labels = sorted({line.decode() for line in kept.lines(LABELS)})
    with sink.open("annotations.xml") as out:
        out.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        named = "".join(
            f"<label><name>{escape(label)}</name><type>any</type><attributes></attributes></label>"
            for label in labels
        )
        origin = escape(xml_text(f"gfi job {export.job.id}: {export.provenance}"))
        meta = f"<meta><task><name>{origin}</name><labels>{named}</labels></task></meta>\n"
        out.write(meta.encode())
        for data in kept.named(IMAGES):
            out.write(data)
        out.write(b"</annotations>\n")


def _copy_photographs(kept: Kept, sink: Sink) -> None:
    for name, data in kept.files():
        if name.startswith("images/"):
            with sink.open(name) as out:
                out.write(data)
