"""From effects to verdicts."""

from dataclasses import replace

import numpy as np

from gfi.audit.confirmation import Effects
from gfi.audit.plan import Plan, Removal, Transplant
from gfi.audit.same_pixels import SamePixels
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import Verdict, judge, too_few

from .test_plan import CORNER

S = AuditSettings()
PLACE = CORNER.place
assert PLACE is not None


def planned(outside: bool | None = None, n: int = 16) -> Plan:
    return Plan(
        CORNER,
        tuple(Removal(i, PLACE, ()) for i in range(n)),
        tuple(Transplant(100 + i, i, PLACE, ()) for i in range(n)),
        n,
        40,
        outside,
    )


def measured(effect: float, repeated: int = 0, n: int = 16, seed: int = 0) -> Effects:
    draw = np.random.default_rng(seed)
    noise = draw.normal(0, 0.02, (4, n, 19))
    own = effect + draw.normal(0, 0.02, (2, n))
    none = np.zeros(n, bool)
    return Effects(
        np.full(n, 0.9),
        own[0],
        noise[0],
        own[1],
        noise[1],
        none,
        np.zeros((n, 19)),
        SamePixels(repeated, n, 0, 30, 0.5, 0.1),
    )


def test_each_verdict_has_its_reason() -> None:
    cases = [
        (planned(True), measured(0.5), Verdict.OFF_OBJECT),
        (planned(None), measured(0.5, 14), Verdict.REPEATED_MARK),
        (planned(False), measured(0.5), Verdict.RELIES_ON),
        (replace(planned(False), boxed=16, beside_boxes=8), measured(0.5, 14), Verdict.OFF_OBJECT),
        (replace(planned(False), boxed=16, beside_boxes=7), measured(0.5, 14), Verdict.REPEATED_MARK),
        (replace(planned(False), boxed=16, beside_boxes=16), measured(0.5), Verdict.RELIES_ON),
        (planned(True), measured(0.0), Verdict.SUSPECTED),
        (planned(True, 3), None, Verdict.UNDECIDED),
    ]
    for plan, effects, verdict in cases:
        assert judge([plan], [effects], S)[0].verdict is verdict


def test_a_certain_but_small_effect_is_not_confirmed() -> None:
    assert judge([planned(True)], [measured(0.08, 14)], S)[0].verdict is Verdict.SUSPECTED


def test_removal_without_transplant_confirms_nothing() -> None:
    both, none = measured(0.5, 14), measured(0.0, seed=1)
    mixed = Effects(
        both.before,
        both.removal,
        both.removal_controls,
        none.transplant,
        none.transplant_controls,
        none.flips,
        none.control_flips,
        both.same_pixels,
    )
    assert judge([planned(True)], [mixed], S)[0].verdict is Verdict.SUSPECTED


def test_shortcuts_come_first_and_then_the_larger_weight() -> None:
    results = judge(
        [planned(False), planned(True), planned(True)], [measured(0.9), measured(0.3), measured(0.6)], S
    )
    assert [r.verdict for r in results] == [Verdict.OFF_OBJECT, Verdict.OFF_OBJECT, Verdict.RELIES_ON]
    assert results[0].weight > results[1].weight
    assert {r.number_tested for r in results} == {3}


def test_too_few_images_say_how_many_more() -> None:
    few = planned(True, 3)
    assert too_few(few, S) == 2 * 3 / (3 / 40) or too_few(few, S) > 0
    assert judge([few], [None], S)[0].more_images == too_few(few, S)
    assert too_few(planned(True), S) == 0
