"""The boxes that are used for the metrics of an image."""

from types import SimpleNamespace
from typing import Any

import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import REPAIRED_BOXES, UNSEEN_REGION, BoxNote, region_of
from gfi.datasets.manifest import Entry
from workers.measuring import Measurer
from workers.photographs import Photograph

RED, GREEN = 0, 1
INSIDE, OTHER = (8.0, 8.0, 24.0, 24.0), (0.0, 0.0, 64.0, 64.0)


def measurer(*metrics: str) -> Measurer:
    classifier = SimpleNamespace(class_names=("red", "green", "blue"), wordnet_ids=(), classes=3)
    engine: Any = SimpleNamespace(classifier=classifier)
    config: Any = SimpleNamespace(metrics=metrics)
    return Measurer(engine, config, lambda: None)


def regions(label: str | None, *boxes: Box, target: int = RED) -> tuple[tuple[float, ...], ...]:
    """The boxes that are used for an image with this label."""
    ours = measurer("energy_in_box")
    return tuple(box.sides for box in ours._boxes(Entry(0, "a.png", 1, "", label, boxes=boxes), target))


@pytest.mark.parametrize("other", ["person", "green", "7"])
def test_a_box_of_another_class_does_not_count(other: str) -> None:
    """Whether or not the model knows that class."""
    assert regions("red", Box("red", *INSIDE), Box(other, *OTHER)) == (INSIDE,)
    assert regions("red", Box(other, *OTHER)) == ()
    assert regions(None, Box(other, *OTHER)) == ()


def test_a_box_without_a_label_has_the_images() -> None:
    assert regions("red", Box(None, *INSIDE)) == (INSIDE,)
    assert regions("red", Box(None, *INSIDE), target=GREEN) == ()
    assert regions("person", Box(None, *INSIDE)) == ()


def test_where_nothing_has_a_label_the_box_marks_the_object() -> None:
    assert regions(None, Box(None, *INSIDE), target=GREEN) == (INSIDE,)


def test_difficult_boxes_count_where_there_are_no_others() -> None:
    hard = Box("red", *OTHER, difficult=True)
    assert regions("red", hard, Box("red", *INSIDE)) == (INSIDE,)
    assert regions("red", hard) == (OTHER,)


def test_objects_with_and_without_an_outline_are_one_region() -> None:
    triangle = Box("red", 0, 0, 4, 4, outline="[[0,0,4,0,0,4]]")
    assert region_of([Box("red", 4, 4, 6, 6)], (8, 8)) is None
    region = region_of([triangle, Box("red", 4, 4, 6, 6)], (8, 8))
    assert region is not None
    assert [int(row.sum()) for row in region] == [3, 2, 1, 0, 2, 2, 0, 0]


def test_a_region_that_the_network_did_not_see_is_said_for_its_class_alone() -> None:
    """Of a photograph with two labels, cut at the left; a note on its boxes stays."""
    outlined = [
        Box("red", 0, 0, 4, 4, outline="[[0,0,4,0,0,4]]"),
        Box("green", 8, 0, 9, 4, outline="[[8,0,9,0,9,4]]"),
    ]
    seen: Any = SimpleNamespace(original_size=(8, 16), box=(6.0, 0.0, 14.0, 8.0))
    repaired = BoxNote("cut", REPAIRED_BOXES)
    photograph = Photograph(Entry(0, "a.png", 1, "", "red", boxes=tuple(outlined)), "", seen, note=repaired)
    notes: dict[int, Any] = {}
    for target in (RED, GREEN):
        explanation: Any = SimpleNamespace(status="ok", target=target)
        notes[target] = measurer("iou_region").noted(photograph, explanation).note
    assert notes == {RED: UNSEEN_REGION.after(repaired), GREEN: repaired}
    assert (notes[RED].note_class, notes[RED].text) == (REPAIRED_BOXES, f"cut; {UNSEEN_REGION.text}")
    assert measurer("pointing").noted(photograph, explanation) is photograph
