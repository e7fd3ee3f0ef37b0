"""What a plan uses, and what it leaves alone."""

from dataclasses import replace

import numpy as np

from gfi.audit.candidates import Candidate
from gfi.audit.explained import Explained
from gfi.audit.places import Place, around
from gfi.audit.plan import beside_boxes, plan
from gfi.audit.settings import AuditSettings

from .several_labels import several_labels
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


def test_of_several_labels_no_host_and_no_control_has_the_class_and_each_image_is_used_once() -> None:
    w = several_labels(0.9)
    data, of = w.data, w.data.image_of(np.arange(len(w.data)))
    carried = [{int(k) for k in data.classes[of == image]} for image in of]
    p = plan(CORNER, data, w.photographs, S)
    assert len(p.removals) >= 12
    assert len(p.transplants) >= 12
    hosts = [t.host for t in p.transplants]
    for rows in (list(p.used), hosts, list(p.foreign), [t.source for t in p.transplants]):
        assert len(set(of[rows])) == len(rows), "each image once"
    assert not any(0 in carried[row] for row in (*hosts, *p.foreign))
    several = 0
    for t in p.transplants:
        assert len({int(of[row]) for row in t.controls}) == 19
        for row in t.controls:
            assert not {0, int(data.classes[t.host])} & carried[row]
            several += len(carried[row]) > 1
    assert several, "images with several labels are used too"
    assert any(len(carried[row]) > 1 for row in p.used)


def test_a_stated_mark_is_not_pasted_into_an_image_with_the_class_among_its_labels() -> None:
    w = several_labels(0.0)
    data, of = w.data, w.data.image_of(np.arange(len(w.data)))
    stated = Candidate(0, "stated", None, 0.0, 0.0, patch=np.full((8, 8, 4), 255, np.uint8))
    p = plan(stated, data, w.photographs, S)
    with_class = set(of[data.classes == 0].tolist())
    rows = [row for t in p.transplants for row in (t.host, *t.controls)]
    assert len(p.transplants) == S.most_images
    assert not with_class & set(of[rows].tolist())
    for t in p.transplants:
        assert len({int(of[row]) for row in (t.host, *t.controls)}) == 20


def test_a_class_whose_images_share_all_others_has_no_hosts() -> None:
    w = several_labels(0.9)
    everywhere = np.stack([np.arange(len(w.data)), np.zeros(len(w.data), np.int64)], 1)
    p = plan(CORNER, replace(w.data, also=everywhere), w.photographs, S)
    assert p.removals
    assert not p.transplants
