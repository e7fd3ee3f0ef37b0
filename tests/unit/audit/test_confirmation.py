"""What is measured, against a model whose answers are known."""

import numpy as np
import pytest

from gfi.audit.confirmation import confirm
from gfi.audit.fills import pasted, removed
from gfi.audit.plan import plan
from gfi.audit.settings import AuditSettings

from .several_labels import several_labels
from .synthetic import world
from .test_plan import CORNER

S = AuditSettings(most_images=8)


def test_effects_are_the_differences_of_probabilities() -> None:
    w = world(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    effects = confirm(p, w.photographs, w.predict, S)
    first = p.removals[0]
    image = w.pixels[first.image]

    def p0(shown: np.ndarray) -> float:
        return float(w.predict(shown[None])[0, 0])

    assert effects.before[0] == pytest.approx(p0(image))
    assert effects.removal[0] == pytest.approx(p0(image) - max(p0(x) for x in removed(image, first.place)))
    t = p.transplants[1]
    assert effects.transplant[1] == pytest.approx(
        p0(pasted(w.pixels[t.host], w.pixels[t.source], t.place)) - p0(w.pixels[t.host])
    )
    assert effects.flips.mean() > 0.5
    assert np.nanmean(effects.control_flips) == 0


def test_with_thresholds_a_host_is_taken_for_each_class_that_reaches_its_own() -> None:
    w = several_labels(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    probable = confirm(p, w.photographs, w.predict, S)
    for threshold in (0.2, 0.9999):
        effects = confirm(p, w.photographs, w.predict, S, thresholds=(threshold,) + (1.0,) * 7)
        for t, flipped in zip(p.transplants, effects.flips, strict=True):
            both = np.stack([w.pixels[t.host], pasted(w.pixels[t.host], w.pixels[t.source], t.place)])
            before, after = w.predict(both)[:, 0]
            assert flipped == (after >= threshold > before)
        assert (effects.transplant == probable.transplant).all()
        assert effects.flips.any() == (threshold < 0.5)


def test_the_size_of_batches_changes_nothing() -> None:
    w = world(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    one, two = (confirm(p, w.photographs, w.predict, S, batch=b) for b in (7, 64))
    assert np.allclose(one.removal_controls, two.removal_controls)
    assert np.allclose(one.transplant, two.transplant)


def test_answers_that_are_no_probabilities_are_an_error() -> None:
    w = world(0.9)
    p = plan(CORNER, w.data, w.photographs, S)
    with pytest.raises(ValueError, match="predict returned"):
        confirm(p, w.photographs, lambda images: np.full((len(images), 8), np.nan), S)
