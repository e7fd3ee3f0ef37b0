"""ILSVRC's layout in miniature: what is tested, where its boxes are, and the error that follows by construction."""

from pathlib import Path

import pytest

from gfi.datasets.errors import DatasetError
from gfi.domain.class_index import ClassIndex
from gfi.reproduce.experiment import Listing
from gfi.reproduce.imagenet_localisation import (
    ImagenetLocalisation,
    Options,
    measured,
    open_directory,
    read_blacklist,
    read_class_file,
)
from tests.unit.datasets.conftest import thing
from tests.unit.reproduce.miniature import photograph, reading

TENCH, CAT = "n01440764", "n02123045"
CLASSES = ClassIndex(("tench", "tabby"), (TENCH, CAT))
RIGHT = (80.0, 40.0, 160.0, 80.0)
TURNED = (20.0, 60.0, 60.0, 140.0)
"""Of the upright photograph of 80×160 pixels, stored as 160×80 with the orientation 6."""


def annotate(file: Path, width: int, height: int, *objects: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    file.write_text(f"<annotation>{size}{''.join(objects)}</annotation>")


@pytest.fixture
def ilsvrc(tmp_path: Path) -> Path:
    images, notes = tmp_path / "ILSVRC/Data/CLS-LOC", tmp_path / "ILSVRC/Annotations/CLS-LOC"
    # ImageNet counts from zero with both ends inside: columns 80 … 159 and rows 40 … 79.
    right = thing(TENCH, 80, 40, 159, 79)
    for number in (1, 3, 5, 6):
        photograph(images / f"val/ILSVRC2012_val_0000000{number}.JPEG", 160, 80)
        annotate(notes / f"val/ILSVRC2012_val_0000000{number}.xml", 160, 80, right)
    # Stored lying on its side: a point (x, y) of it is (80 − y, x) upright.
    photograph(images / "val/ILSVRC2012_val_00000002.JPEG", 160, 80, orientation=6)
    annotate(notes / "val/ILSVRC2012_val_00000002.xml", 160, 80, thing(CAT, 60, 20, 139, 59))
    photograph(images / "val/ILSVRC2012_val_00000004.JPEG", 160, 80)
    annotate(notes / "val/ILSVRC2012_val_00000004.xml", 160, 80, thing("n09999999", 1, 1, 9, 9))
    for name in (TENCH, CAT):
        for number in (1, 2, 3):
            photograph(images / f"train/{name}/{name}_{number}.JPEG", 160, 80)
        annotate(notes / f"train/{name}/{name}_2.xml", 160, 80, thing(name, 80, 40, 159, 79))
    kit = tmp_path / "ILSVRC2014_devkit/data"
    kit.mkdir(parents=True)
    (kit / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("3\n36\n")
    (tmp_path / "LOC_synset_mapping.txt").write_text(f"{TENCH} tench, Tinca tinca\n{CAT} tabby, tabby cat\n")
    return tmp_path


def names(listing: Listing) -> list[str]:
    return [Path(example.key).stem[-1] for example in listing.examples]


def test_blacklisted_images_and_strange_classes_are_left_out_and_said(ilsvrc: Path) -> None:
    tested, drawn = open_directory(ilsvrc, (), CLASSES, Options())
    assert names(tested) == ["1", "2", "5", "6"]
    assert [note.partition(" images")[0] for note in tested.notes] == ["1", "1"]
    assert drawn is not None
    assert [(example.label, Path(example.key).stem) for example in drawn.examples] == [
        (TENCH, f"{TENCH}_2"),  # the only ones of their class with boxes
        (CAT, f"{CAT}_2"),
    ]
    assert open_directory(ilsvrc, (), CLASSES, Options(held_out=0))[1] is None
    assert names(open_directory(ilsvrc, (), CLASSES, Options(images=2))[0]) == ["1", "2"]


def test_a_model_without_wordnet_ids_is_matched_by_the_class_file(ilsvrc: Path) -> None:
    tested, _ = open_directory(ilsvrc, (), ClassIndex(("0", "1")), Options(held_out=0))
    assert [example.label for example in tested.examples] == ["0", "1", "0", "0"]


def test_the_error_is_that_of_the_construction_and_the_threshold_that_of_other_images(ilsvrc: Path) -> None:
    tested, drawn = open_directory(ilsvrc, (), CLASSES, Options())
    sizes = {f"ILSVRC2012_val_0000000{n}": (160, 80) if n == 2 else (80, 160) for n in (1, 2, 5)}
    sizes |= {f"{name}_2": (80, 160) for name in (TENCH, CAT)}
    marked = {
        "ILSVRC2012_val_00000001": RIGHT,
        "ILSVRC2012_val_00000002": TURNED,
        "ILSVRC2012_val_00000005": (0.0, 0.0, 80.0, 40.0),  # the opposite corner; 6 could not be read
        f"{TENCH}_2": RIGHT,
        f"{CAT}_2": RIGHT,
    }
    # All masks are grey around the object: at α = 0 the box is the whole photograph.
    read = reading(sizes, marked, lambda ask: 0.6)
    report = ImagenetLocalisation("net", tested, drawn, ("paper", "grad-cam")).report(read)
    paper = report.numbers["methods"]["paper"]
    assert (paper["error"], paper["ok"], paper["images"]) == (0.5, 3, 4)
    assert (paper["alpha"], paper["error_held_out"]) == (1.0, 0.0)
    assert (paper["sweep"]["0.0"], paper["sweep"]["1.0"], paper["sweep"]["10.0"]) == (1.0, 0.5, 1.0)
    assert report.tables[0].rows[0][:2] == ("paper", "1")
    assert any("2 drawn training images" in difference for difference in report.differences)


def test_boxes_follow_a_photograph_that_is_stored_on_its_side(ilsvrc: Path) -> None:
    tested, _ = open_directory(ilsvrc, (), CLASSES, Options())
    experiment = ImagenetLocalisation("net", tested, None, ("paper",))
    (ask,) = experiment.asks()
    turned = list(reading({"ILSVRC2012_val_00000002": (160, 80)}, {"ILSVRC2012_val_00000002": TURNED})(ask))[
        1
    ]
    assert turned.regions() == [TURNED]
    found = measured(turned)
    assert found is not None
    assert found.found[3] > 0.8
    assert found.whole == pytest.approx(40 * 80 / (80 * 160))


def test_without_training_images_the_threshold_is_the_papers(ilsvrc: Path) -> None:
    tested, _ = open_directory(ilsvrc, (), CLASSES, Options())
    experiment = ImagenetLocalisation("net", tested, None, ("tuned",), {"pool4": "features.27"})
    assert [ask.options.get("layers") for ask in experiment.asks()] == [None, "features.36,features.27"]
    report = experiment.report(reading({}, {}))
    assert report.numbers["methods"]["tuned"]["alpha"] == 1.5
    assert report.tables[2].rows[0] == ("pool4", "1.5", "100.0 (51.0 to 100.0)", "54.0")
    assert report.to_json()["tables"][0]["rows"][0][0] == "tuned"


def test_what_a_directory_lacks_is_said(tmp_path: Path, ilsvrc: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither ILSVRC/Data/CLS-LOC/val/ nor val/"):
        open_directory(ilsvrc / "ILSVRC2014_devkit", (), CLASSES, Options())
    with pytest.raises(DatasetError, match="no validation image has a box of a class of the model"):
        open_directory(ilsvrc, (), ClassIndex(("owl",), ("n01621127",)), Options())
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("12\nILSVRC2012_val_1\n")
    with pytest.raises(DatasetError, match="line 2: 'ILSVRC2012_val_1' is not the number"):
        read_blacklist(wrong)
    with pytest.raises(DatasetError, match="line 1: '12' is not a WordNet id"):
        read_class_file(wrong)
