"""Every verdict has a sentence with its numbers."""

from dataclasses import replace

import pytest

from gfi.audit.findings import Finding
from gfi.audit.places import around
from gfi.audit.sentences import limit_sentence, sentence
from gfi.audit.training_images import InTraining
from gfi.audit.verdicts import Verdict

FINDING = Finding(
    "carton", "place", Verdict.REPEATED_MARK, around(0.1, 0.9, 0.2), seen=20, images=48, used=16, removal=0.31,
    removal_lower=0.22, transplant=0.4, transplant_lower=0.3, flips=0.5, flips_lower=0.28, p=1e-9, q=2e-8,
    number_tested=23, more_images=40,
)  # fmt: skip


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_sentence_names_class_place_and_counts(verdict: Verdict) -> None:
    for finding in (replace(FINDING, verdict=verdict), replace(FINDING, verdict=verdict, place=None)):
        text = sentence(finding)
        assert '"carton"' in text
        assert "20 of 48" in text
        assert ("bottom left" in text) == (finding.place is not None)
        assert text.endswith(".")


def test_only_shortcuts_are_called_so() -> None:
    said = {v: "shortcut" in sentence(replace(FINDING, verdict=v)) for v in Verdict}
    assert [v for v, s in said.items() if s] == [Verdict.OFF_OBJECT, Verdict.REPEATED_MARK]


def test_a_confirmed_finding_prints_effects_bounds_and_tests() -> None:
    text = sentence(FINDING)
    for number in ("0.31", "0.22", "0.40", "0.30", "50 %", "28 %", "1e-09", "2e-08", "23 tested"):
        assert number in text


def test_boxes_that_touch_the_place_of_repeated_pixels_are_said() -> None:
    text = sentence(replace(FINDING, verdict=Verdict.OFF_OBJECT, boxed=20, beside_boxes=13))
    assert "lie outside every box of the class in 13 of 20 images" in text
    assert "the same pixels again and again" in text


def test_undecided_says_how_many_more() -> None:
    assert "40 more images" in sentence(replace(FINDING, verdict=Verdict.UNDECIDED))


def test_a_limit_is_said_or_that_there_is_none() -> None:
    assert "≥ 30 % of these 50 images" in limit_sentence("carton", 0.3, 50, 0.3)
    assert "too few" in limit_sentence("carton", None, 6, 0.3)


def test_what_misleads_the_model_and_what_was_removed_with_it_is_said() -> None:
    misled = replace(FINDING, verdict=Verdict.RELIES_ON, misleads=True, labelled_otherwise=15, beside=9)
    text = sentence(misled)
    assert "15 of the 16 images tested are labelled otherwise" in text
    assert "from 9 of them together with another repeated pattern" in text
    assert "otherwise" not in sentence(FINDING)


def test_what_training_images_say_of_a_shortcut_is_said() -> None:
    said = {
        "The same pixels are in 57 of 200 training images of the class that were searched.": InTraining(
            57, 200, 200, 16, 16, 1.0
        ),
        "has these pixels, but up to 5.0 % of all 40 may have marks as clear as in the audited images": InTraining(
            0, 40, 40, 16, 16, 0.05
        ),
        "No training image of the class could be searched": InTraining(0, 0, 40, 16, 16, 1.0),
        "Its pixels are too small to search for": InTraining(0, 0, 40, 0, 16, 1.0, too_small=True),
    }
    for words, training in said.items():
        assert words in sentence(replace(FINDING, training=training))
    none = InTraining(0, 200, 200, 16, 16, 0.01)
    text = sentence(replace(FINDING, verdict=Verdict.RELIES_ON, misleads=True, training=none))
    assert "None of 200 training images of the class that were searched has these pixels" in text
    assert "(95 %: at most 1.0 % of all 200 have marks as clear as in the audited images)" in text
    assert "it misleads the model, and these images did not teach it." in text
    assert "labelled otherwise" not in text
    assert "shortcut" not in text
