"""What the screens propose."""

from dataclasses import replace

import numpy as np

from gfi.audit.candidates import Candidate, fixed_places, shortlist
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.places import around
from gfi.audit.settings import AuditSettings

S = AuditSettings()
HERE = Candidate(2, "S1", around(0.2, 0.2, 0.2), 5.0, 0.3)


def test_neighbouring_cells_are_one_candidate() -> None:
    counts = PeakCounts(9, 7)
    counts.images += 50
    counts.counts += np.random.default_rng(0).binomial(50, 0.03, counts.counts.shape)
    counts.counts[4, 0, 0], counts.counts[4, 0, 1] = 30, 25
    found = fixed_places(counts, S)
    assert found is not None
    corner = around(0.2, 0.1, 0.2)
    mine = [c for c in found if c.class_index == 4 and c.place is not None and c.place.overlap(corner) > 0]
    assert len([c for c in mine if c.share >= 0.5]) == 1


def test_one_candidate_for_each_class_and_place_the_higher_score_and_the_more_exact_place() -> None:
    exact = replace(
        HERE, screen="S4", place=around(0.22, 0.2, 0.15), score=3, pattern=np.ones((4, 4), np.float32)
    )
    (kept,) = shortlist([exact, HERE], S)
    assert kept.score == 5
    assert kept.place == exact.place
    assert kept.pattern is not None
    assert len(shortlist([HERE, replace(HERE, class_index=3)], S)) == 2


def test_a_stated_hypothesis_comes_first_and_there_are_at_most_fifty() -> None:
    many = [replace(HERE, class_index=k, score=float(k)) for k in range(80)]
    stated = replace(HERE, class_index=99, screen="stated", score=0.0)
    kept = shortlist([*many, stated], S)
    assert len(kept) == 50
    assert kept[0] == stated
    assert kept[1].class_index == 79


def test_a_place_made_exact_by_a_pattern_takes_in_the_place_beside_it() -> None:
    first = replace(HERE, place=around(0.1, 0.1, 0.2), score=30)
    beside = replace(HERE, place=around(0.25, 0.2, 0.2), score=14)
    pattern = replace(
        HERE, screen="S4", place=around(0.15, 0.16, 0.28), score=5, pattern=np.ones((4, 4), np.float32)
    )
    assert len(shortlist([first, beside], S)) == 2
    (kept,) = shortlist([first, beside, pattern], S)
    assert kept.place == pattern.place
