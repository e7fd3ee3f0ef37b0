"""ImageNet as its makers hand it out, in miniature."""

import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source
from tests.unit.datasets.conftest import jpeg, thing


@pytest.fixture
def imagenet(tmp_path):
    root = tmp_path / "imagenet"
    data, notes = root / "ILSVRC/Data/CLS-LOC", root / "ILSVRC/Annotations/CLS-LOC"
    for name in (
        "train/n01440764/n01440764_18",
        "train/n02123045/n02123045_7",
        "val/ILSVRC2012_val_1",
        "val/ILSVRC2012_val_2",
    ):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / f"{name}.JPEG").write_bytes(jpeg(3))
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
    for name in ("train/n01440764/n01440764_18", "val/ILSVRC2012_val_1"):
        (notes / f"{name}.xml").write_text(f"<annotation>{thing('n01440764', 0, 0, 6, 4)}</annotation>")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_1,n01440764 0 0 6 4\nILSVRC2012_val_2,n02123045 1 1 2 2\n"
    )
    return root


def test_imagenet_val_has_labels_and_boxes_from_its_files(imagenet, free):
    source = open_source(str(imagenet), free)
    assert source.kind == "imagenet"
    one, two = source.list()
    assert one.key == "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_1.JPEG"
    assert (one.label, one.boxes) == ("n01440764", (Box("n01440764", 0, 0, 7, 5),))
    assert (two.label, two.boxes) == ("n02123045", (Box("n02123045", 1, 1, 3, 3),))
    assert source.fetch(one.key, one.version).data == jpeg(3)


def test_imagenet_train_is_labelled_by_folder(imagenet, free):
    one, two = open_source(f"imagenet:{imagenet}/ILSVRC?split=train", free).list()
    assert (one.label, one.boxes) == ("n01440764", (Box("n01440764", 0, 0, 7, 5),))
    assert (two.label, two.boxes) == ("n02123045", ())


def test_a_bare_val_folder_with_classes_works_too(plant, free):
    root = plant("val/n01440764/1.jpg", "val/n02123045/2.jpg")
    source = open_source(f"imagenet:{root}", free)
    assert [(item.key, item.label) for item in source.list()] == [
        ("val/n01440764/1.jpg", "n01440764"),
        ("val/n02123045/2.jpg", "n02123045"),
    ]
    assert source.fetch("val/n01440764/1.jpg").data == jpeg(0)


@pytest.mark.parametrize("split", ["test", "..", "../val", "/etc", ""])
def test_an_imagenet_split_that_is_none_is_an_error(imagenet, free, split):
    with pytest.raises(DatasetError, match="holds neither"):
        open_source(f"imagenet:{imagenet}?split={split}", free)
