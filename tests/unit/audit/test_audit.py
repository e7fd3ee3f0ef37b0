"""The whole audit on a world whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from gfi.audit.audit import Screens, audit, propose_clusters, propose_repeats, screen
from gfi.audit.plan import plan
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import SHORTCUTS, Verdict
from tests.unit.audit.several_labels import THRESHOLDS, several_labels
from tests.unit.audit.synthetic import CLASSES, GLYPH, World, world

SECOND = np.rot90(1 - GLYPH)


def with_second_mark(w: World) -> World:
    """The same world, with another glyph at the top right of each marked image; the model says class 0 where either is,
    and is as sure of one as of both."""
    for i in np.flatnonzero(w.marked):
        w.pixels[i, 2:10, 38:46] = (255 * SECOND)[..., None]
        w.data.grids[i, 1, 12] += 0.9
    return w


S = AuditSettings(most_images=10, candidates_per_class=2)


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_mark_that_the_model_relies_on_is_the_first_finding(share: float) -> None:
    w = world(share)
    first = audit(w.data, CLASSES, w.photographs, w.predict, S)[0]
    assert first.verdict is Verdict.REPEATED_MARK
    assert first.plan.candidate.class_index == 0
    assert all(r.place.left < 0.15 and r.place.top < 0.15 for r in first.plan.removals)


def test_with_boxes_the_same_mark_is_off_the_object() -> None:
    w = world(0.6, boxes=True)
    assert audit(w.data, CLASSES, w.photographs, w.predict, S)[0].verdict is Verdict.OFF_OBJECT


def test_the_object_is_no_shortcut_with_or_without_boxes() -> None:
    for boxes in (False, True):
        w = world(0.0, boxes=boxes)
        results = audit(w.data, CLASSES, w.photographs, w.predict, S)
        assert not [r for r in results if r.verdict in SHORTCUTS]
        assert [r for r in results if r.verdict is Verdict.RELIES_ON]


def test_a_mark_that_the_model_ignores_is_no_shortcut_even_if_masks_point_at_it() -> None:
    w = world(0.6)
    w.reliance = 0.0
    assert not [r for r in audit(w.data, CLASSES, w.photographs, w.predict, S) if r.verdict in SHORTCUTS]


def test_the_same_seed_gives_the_same_numbers() -> None:
    w = world(0.5)
    first, second = (audit(w.data, CLASSES, w.photographs, w.predict, S) for _ in range(2))
    assert [(r.verdict, r.p, r.plan.rows.tolist()) for r in first] == [
        (r.verdict, r.p, r.plan.rows.tolist()) for r in second
    ]


def test_chunks_of_any_size_give_the_same_screens() -> None:
    w = world(0.5, boxes=True)
    found = screen(w.data, CLASSES, None, S)
    streamed = Screens(CLASSES, S)
    for start in range(0, len(w.data), 37):
        part = slice(start, start + 37)
        boxes = [(i - start, w.data.boxes[i]) for i in range(start, min(start + 37, len(w.data)))]  # type: ignore[index]
        owners = np.array([i for i, _ in boxes], np.intp)
        of = (np.concatenate([b for _, b in boxes]), owners)
        streamed.add(w.data.grids[part], w.data.classes[part], w.data.screening[part], of)
    assert all((a.counts == b.counts).all() for a, b in zip(found.counts, streamed.counts, strict=True))


def test_confirmation_uses_no_image_of_the_screening_half() -> None:
    w = world(0.5)
    for result in audit(w.data, CLASSES, w.photographs, w.predict, S):
        assert not w.data.screening[result.plan.rows].any()


def test_with_few_images_the_class_null_is_undecided() -> None:
    w = world(0.5, per_class=12)
    assert not screen(w.data, CLASSES, None, S).class_null


def test_a_mark_at_changing_places_is_found_where_it_is() -> None:
    """Only patterns find it: no place of the class stands out."""
    w = world(0.0)
    draw = np.random.default_rng(1)
    where = {}
    for i in np.flatnonzero((w.data.classes == 2) & (draw.random(len(w.data)) < 0.5)):
        x, y = draw.integers(0, 40, 2)
        w.pixels[i, y : y + 8, x : x + 8] = (255 * GLYPH)[..., None]
        # Masks are coarse: the peak is up to five pixels from the middle of the mark.
        dx, dy = draw.integers(-5, 6, 2)
        row, column = np.clip([(y + 4 + dy) * 14 // 48, (x + 4 + dx) * 14 // 48], 0, 13)
        w.data.grids[i, row, column] += 1.2
        where[int(i)] = (x + 4, y + 4)
    (found,) = propose_repeats(w.data, [2], w.photographs, S)
    assert found.place is None
    used = plan(found, w.data, w.photographs, S).removals
    assert len(used) >= 8
    for removal in used:
        x, y = where[removal.image]
        assert np.abs(np.array(removal.place.centre) * 48 - (x, y)).max() <= 5


def test_of_two_marks_either_of_which_is_enough_both_are_found() -> None:
    """Removing one changes nothing while the other is there: each is removed together with the other, too."""
    w = with_second_mark(world(0.6))

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        first = w.predict(images)
        mirrored = images.copy()
        corner = images[:, 2:10, 38:46]
        mirrored[:, 2:10, 2:10] = np.rot90(np.where(corner > 127, 0, 255), -1, (1, 2))
        second = w.predict(mirrored)
        either = (second[:, 0] > first[:, 0])[:, None]
        return np.where(either, second, first)

    results = audit(w.data, CLASSES, w.photographs, predict, AuditSettings(most_images=10))
    found = [r for r in results if r.verdict in SHORTCUTS]
    assert {r.plan.candidate.class_index for r in found} == {0}
    sides = {r.plan.removals[0].place.words() for r in found}
    assert sides == {"top left", "top right"}
    assert all(removal.beside is not None for r in found for removal in r.plan.removals)


def test_a_mark_on_images_of_other_labels_misleads_and_is_no_shortcut_of_the_class() -> None:
    """Added after the training, it moves images of another class to class 0."""
    w = world(0.6)
    labels = np.where(w.marked, 5, w.data.classes)
    for known, verdict in (
        (labels, Verdict.RELIES_ON),
        (w.data.classes, Verdict.REPEATED_MARK),
        (None, Verdict.REPEATED_MARK),
    ):
        data = replace(w.data, labels=known)
        results = audit(data, CLASSES, w.photographs, w.predict, S)
        (mark,) = [r for r in results if r.plan.removals and r.plan.removals[0].place.words() == "top left"]
        assert mark.verdict is verdict
        assert mark.plan.misleads == (known is labels)


def test_clusters_use_features_where_most_images_have_them() -> None:
    draw = np.random.default_rng(3)
    data = world(0.0).data
    data = replace(data, grids=draw.random(data.grids.shape, np.float32))  # no two kinds of masks
    features = draw.normal(size=(len(data), 6))
    features[(data.classes == 7) & (draw.random(len(data)) < 0.5), 0] += 8
    assert not propose_clusters(data, [7], S)
    assert propose_clusters(replace(data, features=features), [7], S)
    features[::9] = np.nan
    assert propose_clusters(replace(data, features=features), [7], S)


def test_of_several_labels_a_mark_of_one_class_is_found_and_no_other_label_of_its_images_is_blamed() -> None:
    w = several_labels(0.6)
    found = audit(w.data, CLASSES, w.photographs, w.predict, S, THRESHOLDS)
    shortcuts = [r for r in found if r.verdict in SHORTCUTS]
    assert [(r.plan.candidate.class_index, r.verdict) for r in shortcuts] == [(0, Verdict.OFF_OBJECT)]
    assert found[0].flips > 0.5
    with_class = w.data.labels == 0
    assert found[0].plan.images == int((with_class & ~w.data.screening).sum())


def test_of_several_labels_the_objects_are_no_shortcuts() -> None:
    w = several_labels(0.0, seed=3)
    found = audit(w.data, CLASSES, w.photographs, w.predict, S, THRESHOLDS)
    assert not [r for r in found if r.verdict in SHORTCUTS]
    assert [r for r in found if r.verdict is Verdict.RELIES_ON]


def test_patterns_are_compared_with_images_without_the_class_each_once() -> None:
    w = several_labels(0.9)
    asked: list[NDArray[np.intp]] = []

    def photographs(rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        asked.append(rows)
        return w.photographs(rows)

    (first, *_) = propose_repeats(w.data, [0], photographs, S)
    assert first.place is not None
    assert first.place.left < 0.15
    others = next(rows for rows in asked if (w.data.classes[rows] != 0).any())
    assert len(others) == 60
    assert not w.data.carrying(0)[others].any()
    assert len(set(w.data.image_of(others))) == 60
