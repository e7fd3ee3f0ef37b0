"""The peers of the audit find what they were made for, and nothing in noise."""

import numpy as np

from benchmarks.audit_peers import FLAGGED_BELOW, property_score, spray


def test_spray_ranks_a_class_of_two_kinds_of_masks_first() -> None:
    draw = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 40)
    grids = draw.random((160, 14, 14))
    grids[(classes == 2) & (draw.random(160) < 0.5), :3, :3] += 12
    scores = spray(grids, classes, 4)
    assert int(np.argmax(scores["fisher"])) == 2
    assert spray(grids, classes, 5)["eigengap"][4] == 0


def test_a_property_that_gives_the_label_away_scores_low() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(2), 40)
    pixels = draw.integers(0, 100, (80, 8, 8, 3)).astype(np.uint8)
    assert property_score(pixels, labels)["brightness"] > 0.7
    pixels[labels == 1] += 100
    assert property_score(pixels, labels)["brightness"] < FLAGGED_BELOW
