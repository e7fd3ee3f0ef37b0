"""FiftyOne: a dataset in `fiftyone.types.FiftyOneDataset`, with each mask as a heat map.

    metadata.json     the dataset's document: its fields and their types
    samples.json      {"samples": [ … ]}, a document for each image
    fields/mask/…png  the masks at the size of the photographs, 8-bit grey

    fo.Dataset.from_dir("DIR", dataset_type=fo.types.FiftyOneDataset)

https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset. The photographs are not copied: `filepath` is
their place in the dataset, or `images` in front of the key. An image with several explained classes has `mask` for the
first and `mask_1` … for the others.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from gfi.exports.export import Export, Item
from gfi.exports.pieces import Files, Kept, Sink, json_line, write_list
from gfi.report.overlays import grey, png

SAMPLES, FIELDS = "samples", "fields/"
VERSION = "1.0.0"
"""The version of FiftyOne whose documents these are; later ones migrate them."""
_FOF, _FOL = "fiftyone.core.fields", "fiftyone.core.labels"


def piece(export: Export, items: Sequence[Item]) -> Files:
    """A document for each image, and its masks."""
    samples = []
    for _, of_image in groupby(items, key=lambda item: item.result.row):
        group = list(of_image)
        sample = _sample(export, group[0])
        for item in group:
            rank = item.result.target_rank
            field = f"mask_{rank}" if rank else "mask"
            placed = item.placed()
            if placed is None:
                sample[field] = None
                continue
            name = f"{FIELDS}{field}/{item.path}.png"
            yield name, png(grey(placed))
            sample[field] = {
                "_id": {"$oid": _id(export, item, field)},
                "_cls": "Heatmap",
                "tags": [],
                "map": None,
                "map_path": name,
                "range": [0, 255],
            }
        samples.append(json_line(sample))
    yield SAMPLES, b"".join(samples)


def _sample(export: Export, item: Item) -> dict[str, Any]:
    result = item.result
    row = item.row()
    sample: dict[str, Any] = {
        "_id": {"$oid": _id(export, item, "sample")},
        "filepath": item.address(),
        "tags": [str(result.status)],
        "_media_type": "image",
        "_rand": int(_id(export, item, "rand")[:8], 16) / 2**32,
        "ground_truth": _classification(export, item, "ground_truth", result.label, None),
        "prediction": _classification(export, item, "prediction", _name(export, result.prediction), None),
        "target": _classification(export, item, "target", _name(export, result.target), result.probability),
        "key": result.key,
        "status": str(result.status),
        "provenance": export.provenance,
        "row": result.row,
    }
    sample |= {name: row[name] for name in _numbers(export)}
    sample |= {field: result.columns.get(name) for name, field in columns_of(export.kinds).items()}
    return sample


def _name(export: Export, index: int | None) -> str | None:
    return None if index is None else export.name(index) or str(index)


def _classification(
    export: Export, item: Item, field: str, label: str | None, confidence: float | None
) -> dict[str, Any] | None:
    if label is None:
        return None
    return {
        "_id": {"$oid": _id(export, item, field)},
        "_cls": "Classification",
        "tags": [],
        "label": label,
        "confidence": confidence,
        "logits": None,
    }


def _id(export: Export, item: Item, what: str) -> str:
    """An ObjectId: the same for the same image of the same job."""
    name = f"{export.job.id}/{item.result.row}/{item.result.target_rank}/{what}"
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _numbers(export: Export) -> list[str]:
    from gfi.domain.metrics import METRIC_COLUMNS

    metrics = [column.name for column in METRIC_COLUMNS]
    return ["probability", "kept", "removed", "area", *metrics]


def columns_of(names: Iterable[str]) -> dict[str, str]:
    """The field of each further column; FiftyOne's names are identifiers. Of columns that would have one field, all but
    the first have a number behind it.

    >>> columns_of(["age", "a-b", "a b"])
    {'age': 'column_age', 'a-b': 'column_a_b', 'a b': 'column_a_b_2'}
    """
    fields: dict[str, str] = {}
    for name in names:
        field = plain = "column_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
        number = 2
        while field in fields.values():
            field, number = f"{plain}_{number}", number + 1
        fields[name] = field
    return fields


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """`metadata.json`, `samples.json` and the masks."""
    masks = {"mask"}
    for name, data in kept.files():
        if name.startswith(FIELDS):
            masks.add(name.split("/")[1])
            with sink.open(name) as out:
                out.write(data)
    with sink.open("samples.json") as out:
        out.write(b'{"samples": ')
        write_list(out, kept.lines(SAMPLES))
        out.write(b"}\n")
    with sink.open("metadata.json") as out:
        out.write(json.dumps(document(export, sorted(masks)), indent=2).encode() + b"\n")


def document(export: Export, masks: Sequence[str]) -> dict[str, Any]:
    """The dataset's document. masks: the fields with heat maps."""
    strings = ["key", "status", "provenance"]
    fields = [
        _field("id", "ObjectIdField", db="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", sub="StringField"),
        _field("metadata", "EmbeddedDocumentField", document="fiftyone.core.metadata.ImageMetadata"),
        *(_field(name, "DateTimeField") | {"read_only": True} for name in ("created_at", "last_modified_at")),
        *(_label(name, "Classification") for name in ("ground_truth", "prediction", "target")),
        *(_field(name, "StringField") for name in strings),
        _field("row", "IntField"),
        *(_field(name, "FloatField") for name in _numbers(export)),
        *(
            _field(field, "FloatField" if export.kinds[name] == "number" else "StringField")
            for name, field in columns_of(export.kinds).items()
        ),
        *(_label(name, "Heatmap") for name in masks),
    ]
    return {
        "version": VERSION,
        "name": f"gfi-{export.job.id}",
        "media_type": "image",
        "tags": [],
        "info": {"gfi": export.origin()},
        "app_config": {"color_scheme": None},
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": fields,
        "frame_fields": [],
        "group_media_types": {},
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _field(name: str, kind: str, *, sub: str | None = None, db: str = "", document: str | None = None) -> Any:
    return {
        "name": name,
        "ftype": f"{_FOF}.{kind}",
        "subfield": f"{_FOF}.{sub}" if sub else None,
        "embedded_doc_type": document,
        "db_field": db or name,
        "fields": [],
        "description": None,
        "info": None,
        "read_only": False,
    }


def _label(name: str, kind: str) -> Any:
    return _field(name, "EmbeddedDocumentField", document=f"{_FOL}.{kind}")
