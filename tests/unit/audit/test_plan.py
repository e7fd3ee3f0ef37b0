"""What a plan uses, and what it leaves alone."""

import numpy as np

from gfi.audit.candidates import Candidate
from gfi.audit.explained import Explained
from gfi.audit.places import Place, around
from gfi.audit.plan import beside_boxes, plan
from gfi.audit.settings import AuditSettings

from .synthetic import world

CORNER = Candidate(0, "S1", around(0.12, 0.12, 0.25), 5.0, 0.5)
S = AuditSettings()


def test_each_image_crop_and_host_is_used_once() -> None:
    w = world(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    assert len(p.removals) >= 12
    for rows in (p.used, [t.host for t in p.transplants], [t.source for t in p.transplants]):
        assert len(set(rows)) == len(rows)
    assert {t.source for t in p.transplants} <= set(p.used)


def test_hosts_and_control_crops_come_from_the_classes_they_should() -> None:
    w = world(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    for t in p.transplants:
        assert w.data.classes[t.host] != 0
        assert len(t.controls) == 19
        assert not {0, int(w.data.classes[t.host])} & set(w.data.classes[list(t.controls)].tolist())


def test_only_images_whose_mask_peaks_at_the_place_are_used() -> None:
    w = world(0.5)
    p = plan(CORNER, w.data, w.photographs, S)
    assert w.marked[list(p.used)].all()
    assert p.seen == int((w.marked & ~w.data.screening).sum())


def test_with_boxes_an_image_whose_object_reaches_the_place_is_left_out() -> None:
    w = world(0.9, boxes=True)
    before = plan(CORNER, w.data, w.photographs, S)
    assert before.outside is True
    row = before.used[0]
    boxes = {**w.data.boxes, row: np.array([[0.0, 0.0, 1.0, 1.0]])}  # type: ignore[dict-item]
    after = plan(CORNER, Explained(w.data.classes, w.data.grids, w.data.screening, boxes), w.photographs, S)
    assert after.outside is True
    assert row not in after.used


def test_without_boxes_nothing_is_said_of_outside() -> None:
    w = world(0.9)
    assert plan(CORNER, w.data, w.photographs, S).outside is None


def test_a_pattern_that_a_box_only_touches_lies_beside_it_and_a_small_object_within_it_does_not() -> None:
    w = world(0.0)
    pattern = Place(0.0, 0.0, 0.2, 0.2)
    boxes = {
        0: np.array([[0.15, 0.15, 0.6, 0.6]]),  # covers a sixteenth of the pattern
        1: np.array([[0.1, 0.0, 0.6, 0.6]]),  # half of it
        2: np.array([[0.05, 0.05, 0.14, 0.14]]),  # a fifth of it, with the whole box
        3: np.array([[0.5, 0.5, 0.9, 0.9], [0.0, 0.16, 0.9, 0.9]]),  # the second one a fifth of it
    }
    data = Explained(w.data.classes, w.data.grids, w.data.screening, boxes)
    assert beside_boxes(data, dict.fromkeys(range(5), pattern)) == (4, 2)
