"""The stand-ins of `make bench-reproduce` have the layout of ILSVRC and the boxes that were drawn."""

from pathlib import Path

import pytest

from benchmarks.reproduce import PLAIN, TESTED, write_photographs, write_shapes
from gfi.domain.class_index import ClassIndex
from gfi.reproduce.imagenet_localisation import Options, open_directory
from gfi.samples import planted


def test_the_drawn_boxes_survive_the_layout(tmp_path: Path) -> None:
    classes = ClassIndex(planted.CLASSES)
    tested, drawn = open_directory(write_shapes(tmp_path, 1), (), classes, Options())
    images = planted.draw_images(planted.DEMO_SEED, 1, PLAIN, TESTED)
    assert [example.label for example in tested.examples] == [
        planted.CLASSES[index] for index in images.labels
    ]
    assert [example.boxes[0].sides for example in tested.examples] == [
        pytest.approx(box, abs=0.51) for box in images.boxes.tolist()
    ]
    assert drawn is not None
    assert len(drawn.examples) == 10


def test_the_labelled_photographs_are_tested_without_training_images(tmp_path: Path) -> None:
    wordnet = ("n02124075", "n04548280")
    tested, drawn = open_directory(
        write_photographs(tmp_path, 0), (), ClassIndex(("cat", "clock"), wordnet), Options()
    )
    assert [(example.label, example.boxes[0].sides) for example in tested.examples] == [
        ("n02124075", (0, 0, 401, 300)),
        ("n04548280", (141, 94, 284, 215)),
    ]
    assert drawn is None
