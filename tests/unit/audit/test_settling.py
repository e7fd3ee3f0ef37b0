"""What an instalment may use, and what is said of all of them together."""

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import Effects
from gfi.audit.explained import Explained
from gfi.audit.findings import of_place
from gfi.audit.places import around
from gfi.audit.plan import Plan, Removal, Transplant
from gfi.audit.same_pixels import SamePixels
from gfi.audit.sentences import sentence
from gfi.audit.sequential import Evidence, SequentialSettings, Settled
from gfi.audit.settings import AuditSettings
from gfi.audit.settling import Measured, can_paste, evidence_of, hosts_wanted, joined, judged, usable
from gfi.audit.verdicts import Verdict

PLACE = around(0.2, 0.2, 0.2)
CORNER = Candidate(0, "S1", PLACE, 4.0, 0.5)


def measured(
    images: int, effect: float, candidate: Candidate = CORNER, first: int = 0, *, outside: bool = True
) -> Measured:
    """An instalment: the candidate is seen in `images` of 20, each with this effect beyond its controls."""
    rows = range(first, first + images)
    plan = Plan(
        candidate,
        tuple(Removal(i, PLACE, (PLACE,)) for i in rows),
        tuple(Transplant(100 + i, i, PLACE, (1, 2)) for i in rows),
        seen=images,
        images=20,
        outside=outside,
    )
    level = np.full(images, effect)
    none = np.zeros((images, 1 + first))  # controls of another number in another instalment
    effects = Effects(
        level, level, none, level, none, level > 0.5, none, SamePixels(images, images, 0, 4, 0.9, 0.1)
    )
    return plan, effects


def test_an_instalment_tests_on_new_images_and_pastes_into_new_hosts() -> None:
    classes = np.array([0, 0, 1, 1, 2, -1])
    fresh = np.array([False, True, False, True, True, True])
    hosts = np.array([False, False, True, False, False, False])
    data = Explained(classes, np.zeros((6, 7, 7), np.float32), np.zeros(6, bool))
    free = ~usable(data, CORNER, fresh, hosts).screening
    # Of its class the newest; of others all that were explained to test, but for hosts that it had before.
    assert free.tolist() == [False, True, False, True, True, False]


def test_a_candidate_without_hosts_is_undecided() -> None:
    assert can_paste(np.array([1] * 19 + [2]), controls=19)  # into the image of class 2
    assert not can_paste(np.array([1] * 18 + [2]), controls=19)
    assert not can_paste(np.array([1] * 50), controls=19)  # controls are crops of third classes
    assert not can_paste(np.zeros(0, np.int64), controls=19)
    evidence = Evidence(np.array([0]))
    (one,) = judged([measured(2, 0.1)], evidence, AuditSettings(), {0})
    assert (one.verdict, one.more_images) == (Verdict.UNDECIDED, 0)
    said = sentence(of_place(one, "moon"))
    assert "no image of another class is left to paste it into" in said


def test_what_all_instalments_say_is_confirmed_excluded_or_open() -> None:
    nothing, unseen = Candidate(1, "S1", PLACE, 3.0, 0.4), Candidate(2, "S1", PLACE, 3.0, 0.4)
    rounds = [
        [measured(12, 0.8, first=n), measured(15, 0.0, nothing, n), (Plan(unseen, images=20), None)]
        for n in range(3)
    ]
    evidence = evidence_of(Evidence(np.array([0, 1, 2]), SequentialSettings()), rounds)
    assert evidence.settled() == (Settled.CONFIRMED, Settled.NOTHING, Settled.OPEN)
    joint = [joined([one[n] for one in rounds], c) for n, c in enumerate((CORNER, nothing, unseen))]
    assert (joint[0][0].seen, joint[0][0].images, len(joint[0][0].removals)) == (36, 60, 36)
    effects = joint[0][1]
    assert effects is not None
    assert effects.removal_controls.shape == (36, 3)
    assert np.isnan(effects.removal_controls[0, 1:]).all()
    corner, open_one = judged(joint, evidence, AuditSettings())  # of what is excluded nothing is said here
    assert (corner.verdict, open_one.verdict) == (Verdict.OFF_OBJECT, Verdict.SUSPECTED)
    assert corner.p <= corner.q <= 0.05
    assert 0.1 < corner.removal_lower < 0.8 <= corner.removal < 0.81
    assert (open_one.p, open_one.removal, open_one.number_tested) == (1.0, 0.0, 3)


def test_where_the_place_touches_the_object_the_same_pixels_make_it_a_shortcut() -> None:
    def verdict(*outside: bool) -> Verdict:
        rounds = [[measured(15, 0.8, first=n, outside=one)] for n, one in enumerate(outside)]
        evidence = evidence_of(Evidence(np.array([0])), rounds)
        return judged([joined([one[0] for one in rounds], CORNER)], evidence, AuditSettings())[0].verdict

    assert verdict(True, True) is Verdict.OFF_OBJECT
    assert verdict(True, False) is Verdict.REPEATED_MARK


def test_classes_that_are_settled_lend_hosts_where_too_few_are_left() -> None:
    evidence = Evidence(np.array([0, 0]))
    few: NDArray[np.int64] = np.array([0] * 20 + [1] * 30)
    assert hosts_wanted(evidence, few, [0, 25], {0: 25}, controls=19) == 25 + 38 - 5
    assert hosts_wanted(evidence, few, [0, 25], {0: 25, 1: 60}, controls=19) <= 0
    assert hosts_wanted(evidence, np.array([1] * 100), [0, 0], {0: 20}, controls=19) <= 0
    assert hosts_wanted(evidence, few, [0, 25], {}, controls=19) == 0  # no image of the class is left to test
