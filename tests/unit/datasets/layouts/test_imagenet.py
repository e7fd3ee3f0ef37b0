"""A miniature of ImageNet in its original layout."""

import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
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


@pytest.mark.parametrize("images", ["", "n01440764/"])
@pytest.mark.parametrize("annotations", ["", "n01440764/"])
def test_boxes_are_found_whether_or_not_class_folders_were_made(tmp_path, free, images, annotations):
    """The layout after the usual sorting script: photographs in class folders, annotations in one folder."""
    data, notes = (
        tmp_path / "Data/CLS-LOC/train" / images,
        tmp_path / "Annotations/CLS-LOC/train" / annotations,
    )
    data.mkdir(parents=True)
    notes.mkdir(parents=True)
    (data / "n01440764_18.JPEG").write_bytes(jpeg(1))
    (notes / "n01440764_18.xml").write_text(f"<annotation>{thing('n01440764', 0, 0, 6, 4)}</annotation>")
    (item,) = open_source(f"imagenet:{tmp_path}?split=train", free).list()
    assert (item.label, item.boxes) == ("n01440764", (Box("n01440764", 0, 0, 7, 5),))


def test_an_image_without_an_annotation_is_counted(imagenet, free):
    notes = ListingNotes()
    list(open_source(f"imagenet:{imagenet}?split=train", free).list(notes))
    (line,) = notes.lines(2)
    assert line.startswith("1 of 2 images: their boxes cannot be used")
    assert "n02123045_7.JPEG: there is no annotation" in line


def test_a_wrong_annotation_leaves_the_table(imagenet, free):
    xml = imagenet / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_1.xml"
    xml.write_text("<annotation>")
    one, _ = open_source(str(imagenet), free).list()
    assert one.boxes == (Box("n01440764", 0, 0, 7, 5),)
    (imagenet / "LOC_val_solution.csv").unlink()
    one, _ = open_source(str(imagenet), free).list()
    assert one.boxes == ()
    assert "ILSVRC2012_val_1.xml: not XML" in one.boxes_error


@pytest.mark.parametrize("split", ["test", "..", "../val", "/etc", ""])
def test_an_imagenet_split_that_is_none_is_an_error(imagenet, free, split):
    with pytest.raises(DatasetError, match="holds neither"):
        open_source(f"imagenet:{imagenet}?split={split}", free)


def test_annotations_without_a_folder_of_the_split(tmp_path, free):
    (tmp_path / "val/n01440764").mkdir(parents=True)
    (tmp_path / "val/n01440764/1.JPEG").write_bytes(jpeg(3))
    source = open_source(f"imagenet:{tmp_path}", free)
    notes = ListingNotes()
    assert [listed.boxes for listed in source.list(notes)] == [()]
    assert "no image has boxes" in notes.lines(1)[0]
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/1.xml").write_text(f"<annotation>{thing('n01440764', 0, 0, 6, 4)}</annotation>")
    (listed,) = source.list()
    assert listed.boxes == (Box("n01440764", 0, 0, 7, 5),)
