"""ViRelAy: what the network saw, and masks that have no class."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.exports import virelay
from gfi.exports.pieces import FolderPieces, FolderSink, Kept, packed

h5py = pytest.importorskip("h5py")


def item(
    row: int,
    target: int | None,
    photo: NDArray[np.uint8] | None = None,
    box: tuple[float, float, float, float] | None = None,
    prediction: int | None = 1,
) -> Any:
    size = None if photo is None else (photo.shape[0], photo.shape[1])
    result = Result(
        row, f"{row}.jpg", ImageStatus.OK, target=target, prediction=prediction, original_size=size, box=box
    )
    return SimpleNamespace(result=result, mask=np.full((4, 4), 0.5, np.float32), photograph=lambda: photo)


def export(classes: int, names: tuple[str, ...] = ()) -> Any:
    config = SimpleNamespace(
        model=SimpleNamespace(reference="m"),
        dataset=SimpleNamespace(spec="folder:/d"),
        method="gfi",
        target="label",
    )
    job = SimpleNamespace(id="j", name="", class_names=names, model={"classes": classes}, config=config)

    def name(index: int | None) -> str | None:
        return names[index] if index is not None and 0 <= index < len(names) else None

    return SimpleNamespace(job=job, options=SimpleNamespace(view=""), provenance="", origin=dict, name=name)


def written(folder: Path, made: Any, items: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    pieces, out = FolderPieces(folder), folder / "out"
    pieces.put(0, packed(virelay.piece(made, items)))
    virelay.whole(made, Kept(pieces, 1), FolderSink(out))
    arrays = {}
    for name in ("dataset.h5", "attribution.h5"):
        with h5py.File(out / name) as file:
            arrays |= {f"{name.split('.')[0]}.{key}": file[key][:] for key in file}
    return arrays, json.loads((out / "label-map.json").read_text())


def test_a_mask_without_a_class_is_none_of_the_models_classes(tmp_path: Path) -> None:
    arrays, labels = written(tmp_path, export(2, ("cat", "dog")), [item(0, 0), item(1, None), item(2, 1)])
    assert [one["name"] for one in labels] == ["cat", "dog", "no class"]
    assert arrays["attribution.label"].tolist() == arrays["dataset.label"].tolist() == [0, 2, 1]
    assert arrays["attribution.prediction"].shape == (3, 3)


def test_of_a_model_that_is_not_known_the_predictions_count_too(tmp_path: Path) -> None:
    arrays, labels = written(tmp_path, export(0), [item(0, 1, prediction=5), item(1, 0, prediction=None)])
    assert [one["name"] for one in labels] == ["0", "1", "2", "3", "4", "5"]
    assert arrays["attribution.prediction"].argmax(1).tolist() == [5, 0]
    assert arrays["attribution.prediction"].sum(1).tolist() == [1, 0]


def test_masks_without_any_class_and_model_have_one_label(tmp_path: Path) -> None:
    arrays, labels = written(tmp_path, export(0), [item(0, None, prediction=None)])
    assert [one["name"] for one in labels] == ["no class"]
    assert arrays["attribution.label"].tolist() == [0]


def test_the_photograph_is_what_the_network_saw_with_black_bars_beyond_it(tmp_path: Path) -> None:
    photo = np.full((20, 40, 3), 200, np.uint8)
    photo[:, 20:] = 90
    arrays, _ = written(
        tmp_path,
        export(2),
        [
            item(0, 0, photo, (0.0, -10.0, 40.0, 30.0)),  # a letterbox
            item(1, 0, photo, (0.0, 0.0, 20.000000001, 20.0)),
            item(2, 0, photo, (20.0, -1e-12, 40.000000001, 20.0)),
            item(3, 0),
        ],
    )
    letterbox, left, right, lost = arrays["dataset.data"]
    assert letterbox[0, :, 0].tolist() == [0, 200, 200, 0]
    assert letterbox[0, 1, [0, 3]].tolist() == [200, 90]
    assert (left[:, :, :3] == 200).all()  # the filter reaches beyond the box, as that of a crop does
    assert (right[:, :, 1:] == 90).all()
    assert not lost.any()
