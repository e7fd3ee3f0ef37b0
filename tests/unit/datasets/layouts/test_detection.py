"""Folders of annotated objects are recognised, or refused with the reason, before their folders become classes."""

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source

LAYOUTS = {
    "YOLO of darknet": (["obj_train_data/1.jpg"], ["obj.names", "obj_train_data/1.txt"], "YOLO"),
    "YOLO beside photographs": (["1.jpg"], ["obj.data", "1.txt"], "YOLO"),
    "mask": (["image/1.jpg", "mask/1.png"], [], "which are not classes"),
    "Supervisely": (["img/1.jpg"], ["ann/1.jpg.json"], "which are not classes"),
    "class folders below images": (["images/cat/1.jpg", "images/dog/2.jpg"], [], "only folders"),
    "masks": (["images/1.jpg", "masks/1.png"], [], "which are not classes"),
    "XML": (["images/1.jpg"], ["annotations/1.xml"], "which are not classes"),
}


RECOGNISED = {
    "coco": [
        (["train2017/1.jpg", "val2017/2.jpg"], "annotations/instances_val2017.json"),
        (["images/1.jpg"], "annotations/all.json"),
        (["train/1.jpg", "valid/2.jpg"], "train/_annotations.coco.json"),
        (["1.jpg"], "_annotations.coco.json"),
    ],
    "yolo": [
        (["images/train/1.jpg", "images/val/2.jpg"], "labels/train/1.txt"),
        (["train/images/1.jpg", "valid/images/2.jpg"], "train/labels/1.txt"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "photographs", "file"), [(kind, *one) for kind, folders in RECOGNISED.items() for one in folders]
)
def test_a_detection_dataset_is_recognised(plant, free, kind, photographs, file):
    folder = plant(*photographs)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("")
    assert open_source(str(folder), free).kind == kind


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_detection_dataset_is_refused_with_the_reason(plant, free, name):
    photographs, files, said = LAYOUTS[name]
    folder = plant(*photographs)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    with pytest.raises(DatasetError, match=f"{said}.*folder:{folder}"):
        open_source(str(folder), free)
    assert {item.label for item in open_source(f"folder:{folder}", free).list()} == {None}


def test_class_folders_that_are_only_called_alike_are_read(plant, free):
    folder = plant("labels/1.jpg", "annotations/2.jpg", "stamps/3.jpg")
    assert open_source(str(folder), free).kind == "classes"
