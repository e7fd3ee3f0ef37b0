"""ViRelAy: a project whose dataset and attributions are HDF5 files. Needs the extra `gfi[hdf5]`.

    project.yaml      names the files
    label-map.json    [{index, word_net_id, name}]
    dataset.h5        data (N, 3, h, w) uint8, label (N,) uint16
    attribution.h5    attribution (N, 1, h, w) float32, prediction (N, K) float32, label (N,), index (N,)

https://virelay.readthedocs.io/en/latest/contributors-guide/database-specification.html. The photographs are what the
network saw, at the size of its input; one that cannot be read is black. `prediction` has 1 at the predicted class,
because the other probabilities are not kept. ViRelAy's analyses (clusters, embeddings) are not part of the export: it
computes them with CoRelAy from `attribution.h5`. Only the first class of an image, and only images with a mask. A mask
without a class, as imported ones may be, has the label `no class`, which is one more than the model has.
"""

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.exports.errors import ExportError
from gfi.exports.export import Export, Item
from gfi.exports.pieces import CHUNK, Files, Kept, Sink

ARRAYS = "arrays.npz"
NO_CLASS = "no class"
"""The label of a mask that explains no class."""


def piece(export: Export, items: Sequence[Item]) -> Files:
    """The arrays of these images."""
    shown = [item for item in items if item.mask is not None and item.result.target_rank == 0]
    if not shown:
        return
    masks = np.stack([_mask(item) for item in shown])
    out = io.BytesIO()
    np.savez(
        out,
        data=np.stack([_photograph(item, masks.shape[1:]) for item in shown]),
        masks=masks,
        target=np.array([_index(item.result.target) for item in shown]),
        prediction=np.array([_index(item.result.prediction) for item in shown]),
    )
    yield ARRAYS, out.getvalue()


def _mask(item: Item) -> NDArray[np.float32]:
    assert item.mask is not None
    return item.mask


def _index(index: int | None) -> int:
    return -1 if index is None else index


def _photograph(item: Item, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(3, h, w): what the network saw; black beyond the photograph, where the model has bars."""
    photo = item.photograph()
    height, width = size
    if photo is None:
        return np.zeros((3, height, width), np.uint8)
    rgb = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, axis=2)
    left, top, right, bottom = item.result.box_at((rgb.shape[0], rgb.shape[1]))
    # Pillow refuses a box that reaches beyond the picture, were it by a rounding error.
    inside = max(left, 0.0), max(top, 0.0), min(right, float(rgb.shape[1])), min(bottom, float(rgb.shape[0]))
    across, down = width / (right - left), height / (bottom - top)
    x0, x1 = round((inside[0] - left) * across), round((inside[2] - left) * across)
    y0, y1 = round((inside[1] - top) * down), round((inside[3] - top) * down)
    size_inside = max(1, x1 - x0), max(1, y1 - y0)
    seen = np.zeros((height, width, 3), np.uint8)
    shown = Image.fromarray(rgb).resize(size_inside, Image.Resampling.BILINEAR, box=inside)
    seen[y0:y1, x0:x1] = np.asarray(shown)[: y1 - y0, : x1 - x0]
    return seen.transpose(2, 0, 1)


def whole(export: Export, kept: Kept, sink: Sink) -> None:
    """The project and its files."""
    with tempfile.TemporaryDirectory(prefix="gfi-virelay-") as folder:
        paths = {name: Path(folder) / name for name in ("dataset.h5", "attribution.h5")}
        classes, labels_of_masks = _write(export, kept, paths["dataset.h5"], paths["attribution.h5"])
        for name, path in paths.items():
            with sink.open(name) as out, path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    out.write(chunk)
    wordnet = (export.job.model or {}).get("wordnet_ids") or []
    labels = [
        {
            "index": index,
            "word_net_id": wordnet[index] if index < len(wordnet) else f"{index:08}",
            "name": export.name(index) or (str(index) if index < classes else NO_CLASS),
        }
        for index in range(labels_of_masks)
    ]
    with sink.open("label-map.json") as out:
        out.write(json.dumps(labels, indent=1).encode())
    with sink.open("project.yaml") as out:
        # A JSON document is a YAML document.
        out.write(json.dumps({"project": _project(export)}, indent=2).encode() + b"\n")


def _project(export: Export) -> dict[str, Any]:
    config = export.job.config
    return {
        "name": export.job.name or f"gfi {export.job.id} ({export.provenance})",
        "model": config.model.reference,
        "label_map": "label-map.json",
        "dataset": {"name": config.dataset.spec, "type": "hdf5", "path": "dataset.h5"},
        "attributions": {
            "attribution_method": config.method,
            "attribution_strategy": "predicted_label" if config.target == "predicted" else "true_label",
            "sources": ["attribution.h5"],
        },
    }


def _write(export: Export, kept: Kept, dataset: Path, attribution: Path) -> tuple[int, int]:
    """Write the two files; returns how many classes there are, and with `no class` where a mask has none."""
    import h5py

    classes = max(len(export.job.class_names), int((export.job.model or {}).get("classes") or 0))
    without = False
    for stored in map(_read, kept.named(ARRAYS)):
        classes = max(classes, 1 + int(stored["target"].max()), 1 + int(stored["prediction"].max()))
        without = without or bool((stored["target"] < 0).any())
    labels = classes + without
    written = 0
    with h5py.File(dataset, "w") as data, h5py.File(attribution, "w") as attributions:
        for stored in map(_read, kept.named(ARRAYS)):
            count = len(stored["masks"])
            predicted = np.zeros((count, labels), np.float32)
            known = np.flatnonzero(stored["prediction"] >= 0)
            predicted[known, stored["prediction"][known]] = 1
            label = np.where(stored["target"] < 0, classes, stored["target"]).astype(np.uint16)
            _append(data, "data", stored["data"])
            _append(data, "label", label)
            _append(attributions, "attribution", stored["masks"][:, None])
            _append(attributions, "prediction", predicted)
            _append(attributions, "label", label)
            _append(attributions, "index", np.arange(written, written + count, dtype=np.uint32))
            written += count
        attributions.attrs["gfi"] = json.dumps(export.origin())
    if not written:
        shown = f" in the view {export.options.view}" if export.options.view else ""
        raise ExportError(f"job {export.job.id} has no mask{shown}")
    return classes, labels


def _read(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _append(file: Any, name: str, values: NDArray[Any]) -> None:
    if name not in file:
        shape, one = values.shape[1:], (min(len(values), 64), *values.shape[1:])
        file.create_dataset(
            name,
            (0, *shape),
            values.dtype,
            maxshape=(None, *shape),
            chunks=one,
            compression="gzip",
            compression_opts=1,
        )
    stored = file[name]
    stored.resize(len(stored) + len(values), axis=0)
    stored[-len(values) :] = values
