"""Comparisons in words."""

import doctest
from dataclasses import replace

from gfi.drift import sentences
from gfi.drift.comparison import Accumulator, ClassMoves
from gfi.drift.verdicts import Moved, Verdict
from tests.unit.drift.tables import blob, pairs_of, result


def test_the_examples_run() -> None:
    assert doctest.testmod(sentences).failed == 0


def test_flips_come_first_and_what_was_not_compared_is_said() -> None:
    spot = blob(2, 2)
    a = [result("a", spot), result("b", spot), result("c", spot)]
    b = [result("b", spot, prediction=3), result("c", spot)]
    blocks, counts = pairs_of(a, b)
    accumulator = Accumulator(None)
    for block in blocks:
        accumulator.add(block)
    first, second, third = sentences.count_sentences(accumulator.comparison(counts))
    assert first.startswith("1 of 2 images with equal bytes are predicted as another class")
    assert second == "not compared: 1 only in the first job"
    assert third.startswith("1 masks compared, all of them equal bit by bit")


def test_images_without_a_prediction_are_named() -> None:
    a = [result(key, blob(2, 2)) for key in "abc"]
    b = [row | {"prediction": prediction} for row, prediction in zip(a, (1, 3, None), strict=True)]
    _, counts = pairs_of(a, b)
    first, second, *_ = sentences.count_sentences(Accumulator(None).comparison(counts))
    assert first.startswith("1 of 2 images with equal bytes are predicted as another class")
    assert second.startswith("1 more have no prediction in one of the jobs")


def test_a_class_that_stayed_says_so_and_one_without_a_common_way_has_no_direction() -> None:
    stayed = ClassMoves(50, 0, 0.1, 0.0, 0.0, None, None, None, 50, 0)
    assert sentences.class_sentence("cat", stayed) == "class cat: 0 % of masks (0 of 50) moved"
    spread = ClassMoves(50, 10, 0.1, 0.001, 0.0, 0.5, 0.52, "centre", 50, 0)
    assert (
        sentences.class_sentence("cat", spread)
        == "class cat: 20 % of masks (10 of 50) moved, most to the centre"
    )


def test_an_undecided_class_says_how_many_images_would_decide() -> None:
    moved = Moved(
        Verdict.UNDECIDED, 30, 1, 0.05, 0.15, 0.15, 0.002, 0.149, 0.8, decides=50, reason="too few images"
    )
    text = sentences.verdict_sentence("class cat", moved)
    assert text.startswith("class cat: undecided; 1 of 30 masks moved (3.3%; 0.2% to 14.9%)")
    assert text.endswith("about 50 images would decide it if the share does not change")
    shares = replace(moved, moved=1.5)
    assert "; 1.5 of 30 images moved" in sentences.verdict_sentence("all", shares, "images moved")
    varied = sentences.verdict_sentence("class cat", replace(moved, fails_at=0.25))
    assert "the limit is 15.0%, and that of a fail 25.0%, since the floor's runs vary" in varied
    none = Moved(
        Verdict.UNDECIDED,
        30,
        1,
        0.05,
        0.15,
        0.15,
        0.0,
        1.0,
        1.0,
        reason="the floor has no mask of this class",
    )
    assert sentences.verdict_sentence("class cat", none).endswith("; the floor has no mask of this class")
    assert sentences.class_name(3, {3: "cat"}) == "cat"
    assert sentences.class_name(4) == "4"
