"""A gate applied: its checks, its verdict, waivers."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from gfi.drift.comparison import Accumulator, Comparison, MetricChange
from gfi.drift.floors import Floor, FloorLevel
from gfi.drift.gate import parse_gate
from gfi.drift.gate_verdict import EXIT_CODES, GateVerdict, NewShortcuts, judge
from gfi.drift.pairs import Counts, pair_results
from gfi.drift.verdicts import Verdict
from tests.unit.drift.tables import blob, floor, result, run, table

NAMES = {0: "cat", 1: "husky", 2: "wolf"}
FLOOR = floor()
TODAY = date(2026, 11, 28)


def comparison(a: list[Any], b: list[Any], metrics: tuple[str, ...] = (), floor: Floor = FLOOR) -> Comparison:
    accumulator, counts = Accumulator(floor), Counts()
    tables = [[table(rows, metrics)] for rows in (a, b)]
    for block in pair_results(*tables, counts, metrics, accumulator.add_flipped):
        accumulator.add(block)
    return accumulator.comparison(counts)


@pytest.fixture(scope="module")
def cornered() -> Comparison:
    """The masks of class husky moved into the lower left corner; 60 images per class."""
    a = list(run(np.random.default_rng(0), 3, 60, noise=0.2))
    return comparison(a, list(run(np.random.default_rng(1), 3, 60, noise=0.2, corner={1: 0.9})))


def judged(made: Comparison, text: str, floor: Floor | None = FLOOR, **how: Any) -> GateVerdict:
    return judge(parse_gate(text), made, floor, names=NAMES, today=TODAY, **how)


def test_the_class_and_the_corner_are_named(cornered: Comparison) -> None:
    gate = judged(cornered, "")
    assert (gate.verdict, gate.exit_code) == (Verdict.FAIL, 10)
    checks = {check.name: check for check in gate.checks}
    assert list(checks) == ["pooled", "class cat", "class husky", "class wolf"]
    assert checks["class husky"].verdict is Verdict.FAIL
    assert checks["class husky"].sentence.startswith("class husky: ")
    assert "lower left corner" in checks["class husky"].sentence
    assert checks["class husky"].numbers is not None
    assert checks["class husky"].numbers["place"] == "lower left corner"
    assert checks["class cat"].verdict is Verdict.PASS
    assert gate.notes[-1].startswith("the floor of 4 runs")


def test_only_watched_classes_count(cornered: Comparison) -> None:
    assert judged(cornered, '[moved]\nclasses = ["cat"]\npooled = false').verdict is Verdict.PASS
    absent = judged(cornered, '[moved]\nclasses = ["77"]\npooled = false')
    assert (absent.verdict, absent.checks[0].verdict) == (Verdict.UNDECIDED, Verdict.UNDECIDED)


def test_a_waiver_holds_until_its_day_and_is_shown(cornered: Comparison) -> None:
    waiver = '[moved]\npooled = false\n[[waivers]]\nclass = "husky"\nowner = "anna"\nuntil = {}\nreason = "new collars"'
    held = judged(cornered, waiver.format("2026-11-28"))
    assert held.verdict is Verdict.PASS
    check = held.checks[1]
    assert (check.verdict, check.waived) == (Verdict.FAIL, True)
    assert check.waiver == "waiver of anna until 2026-11-28: new collars"
    ended = judged(cornered, waiver.format("2026-11-27"))
    assert ended.verdict is Verdict.FAIL
    assert ended.checks[1].waiver == "waiver of anna ended on 2026-11-27: new collars"
    extended = waiver.format("2026-11-27") + waiver[waiver.index("\n[[waivers]]") :].format("2026-12-24")
    assert judged(cornered, extended).checks[1].waiver == "waiver of anna until 2026-12-24: new collars"


def test_every_class_of_a_name_is_watched(cornered: Comparison) -> None:
    gate = judge(
        parse_gate('[moved]\nclasses = ["crane"]\npooled = false'),
        cornered,
        FLOOR,
        names={0: "cat", 1: "crane", 2: "crane"},
        today=TODAY,
    )
    assert [(check.name, check.verdict) for check in gate.checks] == [
        ("class crane", Verdict.FAIL),
        ("class crane", Verdict.PASS),
    ]


@pytest.mark.parametrize(
    ("floor", "reason"),
    [
        (None, "no noise floor"),
        (
            Floor(FloorLevel.OTHER_PROFILE, 4, 6, 0.9, 0.05, {}, 1),
            "another execution profile; this gate requires other",
        ),
        (Floor(FloorLevel.OTHER_TRAINING, 2, 1, 0.9, 0.05, {}, 1), "has 2 runs; this gate requires 3"),
    ],
)
def test_without_the_floor_it_asks_for_a_gate_is_undecided(
    cornered: Comparison, floor: Floor | None, reason: str
) -> None:
    gate = judged(cornered, "", floor)
    assert (gate.verdict, gate.exit_code) == (Verdict.UNDECIDED, 11)
    assert reason in gate.checks[0].sentence


def test_limits_are_judged_by_bounds() -> None:
    random = np.random.default_rng(3)
    energy = random.normal(0.7, 0.05, 200)
    spot = blob(2, 2)
    a = [result(f"{n:03d}", spot, energy_in_box=e, entropy=0.5) for n, e in enumerate(energy)]
    b = [
        result(
            f"{n:03d}", spot, energy_in_box=e - 0.2 + 0.02 * random.normal(), entropy=0.4 + 0.001 * (n % 2)
        )
        for n, e in enumerate(energy)
    ]
    for row in b[:10]:
        row["prediction"] = 2
    made = comparison(a, b, ("energy_in_box", "entropy"))
    text = '[moved]\nclasses = "none"\npooled = false\n[limits]\n'
    for limit, verdict in (
        ("energy_in_box = 0.1", Verdict.FAIL),
        ("energy_in_box = 0.3", Verdict.PASS),
        ("energy_in_box = 0.2", Verdict.UNDECIDED),
        ("entropy = 0.05", Verdict.FAIL),  # neither direction is better: any change counts
        ("flips = 0.02", Verdict.FAIL),
        ("flips = 0.02\n[nightly]", Verdict.UNDECIDED),  # at the level of one night
        ("flips = 0.05", Verdict.UNDECIDED),
        ("flips = 0.2", Verdict.PASS),
        ("deletion = 0.1", Verdict.UNDECIDED),  # not measured
    ):
        assert judged(made, text + limit).verdict is verdict, limit
    better = comparison(b, a, ("energy_in_box",))
    assert judged(better, text + "energy_in_box = 0.01").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("name", "change", "equal", "verdict"),
    [
        # Student's bounds where the deviation rests on 50 images.
        ("deletion", MetricChange(150, 0.5, 0.5, 0.01, 50.0, 0.9, 0.9), 0, Verdict.PASS),
        ("deletion", MetricChange(150, 0.5, 0.6, 0.01, 50.0, 0.0, 15.0), 0, Verdict.FAIL),
        # With fewer, bounds of any numbers in [0, 1].
        ("deletion", MetricChange(150, 0.5, 0.5, 0.01, 49.0, 9.0, 9.0), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(2, 0.0, 1.0, rose=2.0), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(5, 0.5, 0.5), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(50, 0.0, 1.0, rose=50.0), 0, Verdict.FAIL),
        (
            "deletion",
            MetricChange(50, 0.0, 0.3, 1e-9, 50.0, 0.0, 15.0),
            0,
            Verdict.FAIL,
        ),  # only rounding differs
        ("deletion", MetricChange(50, 0.5, 0.5), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(50, 0.5, 0.5), 180, Verdict.PASS),  # the same masks
        ("deletion", MetricChange(1000, 0.5, 0.502, 0.03, 5.0, 0.0, 2.0), 0, Verdict.PASS),
        ("deletion", MetricChange(1000, 0.5, 0.54, 0.2, 40.0, 0.0, 40.0), 0, Verdict.UNDECIDED),
        (
            "iterations",
            MetricChange(1000, 50, 50.01, 0.03, 5.0, 0.0, 10.0, bounded=False),
            0,
            Verdict.UNDECIDED,
        ),
        # 0 or 1 of each image, and a true fall of .1 shows nothing in 12 % of samples of 20.
        ("pointing_hit", MetricChange(20, 0.9, 0.9, binary=True), 0, Verdict.UNDECIDED),
        ("pointing_hit", MetricChange(2, 1.0, 0.0, fell=2, binary=True), 0, Verdict.UNDECIDED),
        ("pointing_hit", MetricChange(80, 0.9, 0.9, binary=True), 0, Verdict.PASS),
        ("pointing_hit", MetricChange(20, 1.0, 0.0, fell=20, binary=True), 0, Verdict.FAIL),
        (
            "pointing_hit",
            MetricChange(20, 0.0, 1.0, rose=20, binary=True),
            0,
            Verdict.UNDECIDED,
        ),  # better, but few
        # Of 1,000 images some have a number in one job only: they may have changed by 1.
        ("deletion", MetricChange(990, 0.5, 0.5, 0.01, 300.0, 9.0, 9.0, 10.0), 0, Verdict.PASS),
        ("deletion", MetricChange(940, 0.5, 0.5, 0.01, 300.0, 9.0, 9.0, 60.0), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(940, 0.5, 0.9, 0.01, 300.0, 9.0, 9.0, 60.0), 0, Verdict.FAIL),
        ("deletion", MetricChange(50, 0.5, 0.5, alone=1.0), 180, Verdict.UNDECIDED),
        ("deletion", MetricChange(0, 0.0, 0.0, alone=60.0), 0, Verdict.UNDECIDED),
        ("deletion", MetricChange(999, 0.5, 0.9, 0.01, 300.0, 9.0, 9.0, 1.0, 1), 0, Verdict.UNDECIDED),
        (
            "iterations",
            MetricChange(999, 50, 50, 0.1, 300.0, 9.0, 9.0, 1.0, bounded=False),
            0,
            Verdict.UNDECIDED,
        ),
    ],
)
def test_a_limit_on_a_mean_needs_images_that_say_how_much_it_varies(
    cornered: Comparison, name: str, change: MetricChange, equal: int, verdict: Verdict
) -> None:
    text = f'[moved]\nclasses = "none"\npooled = false\n[limits]\n{name} = 0.05'
    made = replace(cornered, metrics={name: change}, bit_equal=equal)
    (check,) = judged(made, text).checks
    assert check.verdict is verdict, check.sentence
    if change.infinite:
        assert "in 1 more it is infinite in one of the jobs" in check.sentence
    elif change.alone and change.n:
        assert f"in {change.alone:.0f} more one of the jobs has no finite number" in check.sentence


def test_a_class_whose_masks_are_all_gone_is_undecided() -> None:
    a = list(run(np.random.default_rng(0), 3, 60, noise=0.2))
    b = list(run(np.random.default_rng(1), 3, 60, noise=0.2))
    gone = {"status": "error", "grid": None, "target": None, "prediction": None}
    made = comparison(a, [row | gone if row["target"] == 1 else row for row in b])
    gate = judged(made, "[moved]\npooled = false")
    assert gate.verdict is Verdict.UNDECIDED
    checks = {check.name: check for check in gate.checks}
    assert list(checks) == ["class cat", "class husky", "class wolf"]
    assert checks["class husky"].verdict is Verdict.UNDECIDED
    assert checks["class husky"].sentence.endswith("; no pair of masks")


def test_numbers_that_only_one_job_has_with_status_ok_may_have_changed_by_1() -> None:
    text = '[moved]\nclasses = "none"\npooled = false\n[limits]\ndeletion = 0.05'
    random = np.random.default_rng(0)
    a = [result(f"{n:03d}", blob(2, 2), deletion=x) for n, x in enumerate(random.uniform(0.4, 0.6, 200))]
    b = [row | {"deletion": row["deletion"] + 0.01 * random.normal()} for row in a]
    assert judged(comparison(a, b, ("deletion",)), text).verdict is Verdict.PASS
    for row in b[:20]:
        row["status"] = "target_lost"
    (check,) = judged(comparison(a, b, ("deletion",)), text).checks
    assert check.verdict is Verdict.UNDECIDED
    assert "in 20 more one of the jobs has no finite number or a status other than ok" in check.sentence


def test_images_without_a_prediction_are_no_agreement() -> None:
    """Of 100 images one job predicts 40, half of them otherwise: as 20 of 100 they would pass."""
    a = [result(f"{n:03d}", blob(2, 2)) for n in range(100)]
    b = [row | {"prediction": None if n >= 40 else 1 + n % 2} for n, row in enumerate(a)]
    made = comparison(a, b)
    text = '[moved]\nclasses = "none"\npooled = false\n[limits]\nflips = 0.3'
    (check,) = judged(made, text).checks
    assert check.verdict is Verdict.FAIL
    assert check.sentence.startswith("flips: 20 of 40 images are predicted as another class")
    assert "; 60 more have no prediction in one of the jobs" in check.sentence
    flips = judged(made, "[moved]\npooled = false", floor(class_flips={1: 0.05})).checks[-1]
    assert (flips.name, flips.verdict) == ("flips of class husky", Verdict.FAIL)
    assert "(20 of 40)" in flips.sentence
    assert flips.sentence.endswith("; 60 more have no prediction in one of the jobs")


def test_the_limit_of_flips_counts_images_not_their_labels(cornered: Comparison) -> None:
    """Five labels of an image flip together: as five images of a hundred they would be a fail three times too often."""
    counts = Counts(flipped=5, paired=95, flipped_images=1, images=20)
    text = '[moved]\nclasses = "none"\npooled = false\n[limits]\nflips = 0.02'
    (check,) = judged(replace(cornered, counts=counts), text).checks
    assert check.verdict is Verdict.UNDECIDED
    assert check.numbers == {"n": 20, "value": 0.05, "limit": 0.02}


def test_new_shortcuts_fail_and_an_absent_audit_is_undecided(cornered: Comparison) -> None:
    text = '[moved]\nclasses = "none"\npooled = false\n[audit]\nno_new_shortcuts = true'
    missing = judged(cornered, text, new_shortcuts=NewShortcuts(missing="job b has no audit"))
    assert (missing.verdict, "job b has no audit" in missing.checks[0].sentence) == (Verdict.UNDECIDED, True)
    assert judged(cornered, text, new_shortcuts=NewShortcuts()).verdict is Verdict.PASS
    found = NewShortcuts(("husky: a collar",))
    assert judged(cornered, text, new_shortcuts=found).verdict is Verdict.FAIL


def test_a_nightly_gate_says_what_it_spends(cornered: Comparison) -> None:
    gate = judged(cornered, "[nightly]\ncomparisons_per_year = 365", look=12)
    assert gate.notes[0].startswith("comparison 12 of 365 planned this year")
    assert gate.verdict is Verdict.FAIL


def test_three_verdicts_have_three_exit_codes() -> None:
    assert [EXIT_CODES[verdict] for verdict in Verdict] == [0, 10, 11]


# Between the floor's runs, nearly all masks move where predictions flip: only the flips are judged.
FLIPPING = floor(
    class_flips=dict.fromkeys(range(3), 0.3), with_flips=floor(), flipped_p0=dict.fromkeys(range(3), 0.95)
)


def with_flips(flipped: int, images: int = 30, floor: Floor = FLIPPING) -> Comparison:
    """The first `flipped` images of class husky are predicted as wolf, and their masks lie in the corner."""
    a = list(run(np.random.default_rng(0), 3, images, noise=0.2))
    b = list(run(np.random.default_rng(1), 3, images, noise=0.2, corner={1: 1.0}))
    for row in [row for row in b if row["target"] == 1][:flipped]:
        row["prediction"] = 2
    return comparison(a, b, floor=floor)


def test_a_class_of_thirty_that_lost_nearly_all_its_predictions_fails_apart() -> None:
    made = with_flips(29)
    assert made.class_counts[1] == (1, 1)
    gate = judged(made, "[moved]\npooled = false", FLIPPING)
    assert gate.verdict is Verdict.FAIL
    failed = [check for check in gate.checks if check.verdict is Verdict.FAIL]
    assert [check.name for check in failed] == ["flips of class husky"]
    assert "(29 of 30) are predicted as another class" in failed[0].sentence
    assert "lower left corner" in failed[0].sentence
    # The masks of flipped images are no pairs.
    assert made.pairs == 61


def test_a_class_without_any_pair_left_fails_too() -> None:
    gate = judged(with_flips(30), "[moved]\npooled = false", FLIPPING)
    assert gate.verdict is Verdict.FAIL


@pytest.mark.parametrize(("flipped", "floor"), [(12, FLIPPING), (29, FLOOR)])
def test_flips_within_the_floor_or_without_one_are_no_fail(flipped: int, floor: Floor) -> None:
    checks = judged(with_flips(flipped), "[moved]\npooled = false", floor).checks
    assert not [check for check in checks if check.name.startswith("flips")]


def test_a_class_without_pairs_fails_where_the_masks_of_its_label_moved() -> None:
    """The floor's own runs flip as often, so that the flips say nothing: the masks do."""
    own = floor(class_flips={1: 0.97}, with_flips=floor(), flipped_p0={1: 0.3})
    gate = judged(with_flips(29, floor=own), "[moved]\npooled = false", own)
    failed = [check for check in gate.checks if check.verdict is Verdict.FAIL]
    assert [check.name for check in failed] == ["class husky with flips"]
    assert "of the masks of its label (24 of 30) moved" in failed[0].sentence
    assert failed[0].numbers is not None
    assert (failed[0].numbers["place"], failed[0].numbers["n"]) == ("lower left corner", 30)


def test_a_waiver_of_the_class_covers_its_flips() -> None:
    text = '[moved]\npooled = false\n[[waivers]]\nclass = "husky"\nowner = "anna"\nuntil = 2026-12-24'
    gate = judged(with_flips(29), text, FLIPPING)
    assert all(check.waived for check in gate.checks if check.verdict is Verdict.FAIL)
