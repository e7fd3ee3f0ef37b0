"""A gate applied to a comparison: a list of checks, one verdict.

The verdict is fail if a check fails that no waiver covers, else undecided if one is undecided, else pass. A check that
a waiver covers is shown with its own verdict and counts as passed until the waiver ends.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gfi.domain.metrics import COLUMNS
from gfi.drift.binomial import lower_bound, upper_bound
from gfi.drift.comparison import Comparison, MetricChange
from gfi.drift.floors import LEVEL_WORDS, Floor, FloorLevel
from gfi.drift.gate import FLIPS, GateSpec, Waiver
from gfi.drift.sentences import (
    class_sentence,
    flipped_sentence,
    pooled_sentence,
    verdict_sentence,
    with_flips_sentence,
)
from gfi.drift.verdicts import (
    Moved,
    Tolerance,
    Verdict,
    flipped_classes,
    mask_verdicts,
    pooled_verdict,
    worst,
)

EXIT_CODES: Mapping[Verdict, int] = {Verdict.PASS: 0, Verdict.FAIL: 10, Verdict.UNDECIDED: 11}
"""1 to 3 are errors of the command itself, 4 to 6 the ends of jobs."""


@dataclass(frozen=True)
class Check:
    """One check of a gate. name: `floor`, `pooled`, `class husky`, `class husky with flips`, `flips of class husky`,
    `limit flips`, `audit`.

    waiver: the text of the waiver that names this check, if any; waived: whether it is valid today.
    """

    name: str
    verdict: Verdict
    sentence: str
    waiver: str | None = None
    waived: bool = False
    numbers: Mapping[str, Any] | None = None

    @property
    def counted(self) -> Verdict:
        """The verdict as the gate counts it."""
        return Verdict.PASS if self.waived else self.verdict

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "waiver": self.waiver,
            "waived": self.waived,
            "numbers": dict(self.numbers) if self.numbers is not None else None,
        }


@dataclass(frozen=True)
class GateVerdict:
    """The verdict of a gate on a comparison. notes: further information for the reader."""

    verdict: Verdict
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 pass, 10 fail, 11 undecided."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class NewShortcuts:
    """The confirmed shortcuts of the second job's audit that the first job's audit did not confirm, as sentences.

    missing: why they are not known, empty where both jobs have a finished audit.
    """

    sentences: tuple[str, ...] = ()
    missing: str = ""


def judge(
    spec: GateSpec,
    comparison: Comparison,
    floor: Floor | None,
    *,
    names: Mapping[int, str],
    today: date,
    look: int = 1,
    new_shortcuts: NewShortcuts | None = None,
) -> GateVerdict:
    """Apply a gate.

    floor: the noise floor whose threshold the comparison was made with, None without one. names: of classes, by index.
    look: the number of the comparison in the year, for a nightly gate. new_shortcuts: of the audits of the two jobs;
    needed where `[audit] no_new_shortcuts` is set.
    """
    checks = [
        *_moved_checks(spec, comparison, floor, names, look),
        *(_limit_check(name, limit, comparison, spec.tolerance(look)) for name, limit in spec.limits.items()),
        *_audit_checks(spec, new_shortcuts),
    ]
    checks = [_waive(check, spec.waivers, today) for check in checks]
    notes = [spec.spending.sentence(look)] if spec.nightly is not None else []
    if floor is not None:
        notes.append(floor.sentence())
    return GateVerdict(worst([check.counted for check in checks]), tuple(checks), tuple(notes))


def _moved_checks(
    spec: GateSpec, comparison: Comparison, floor: Floor | None, names: Mapping[int, str], look: int
) -> Iterator[Check]:
    if not spec.watches_classes and not spec.moved.pooled:
        return
    problem = _floor_problem(spec, floor)
    if floor is None or problem is not None:
        yield Check("floor", Verdict.UNDECIDED, problem or "")
        return
    tolerance = spec.tolerance(look)
    if spec.moved.pooled:
        pooled = pooled_verdict(comparison.moved_images, comparison.images, floor, tolerance)
        yield Check("pooled", pooled.verdict, pooled_sentence(comparison, pooled), numbers=pooled.to_json())
    watched = _watched(spec, comparison, names)
    counts_with_flips = comparison.class_counts_with_flips
    verdicts = mask_verdicts(
        {index: comparison.class_counts.get(index, (0, 0)) for index in watched},
        {index: counts_with_flips[index] for index in watched if index in counts_with_flips},
        floor,
        tolerance,
    )
    for index, moved in verdicts.classes.items():
        yield _class_check(watched[index], index, moved, comparison)
    for index in verdicts.failed_with_flips:
        yield _with_flips_check(watched[index], index, verdicts.with_flips[index], comparison)
    yield from _flip_checks(spec, comparison, floor, watched, tolerance)


def _flip_checks(
    spec: GateSpec, comparison: Comparison, floor: Floor, watched: Mapping[int, str], tolerance: Tolerance
) -> Iterator[Check]:
    """A fail for each watched class whose predictions flipped; nothing for the others, whose masks decide."""
    counts = comparison.counts
    flips = {index: (counts.flips_by_class[index], counts.predicted_of(index)) for index in watched}
    failed = flipped_classes(flips, floor, spec.moved.max_flipped, tolerance.alpha)
    for index, (expected, lower) in failed.items():
        k, n = flips[index]
        sentence = flipped_sentence(watched[index], (k, n), expected, lower, comparison.flipped.get(index))
        sentence += _unpredicted(counts.unpredicted_by_class[index])
        place = comparison.flipped[index].place if index in comparison.flipped else None
        numbers = {"class": index, "n": n, "flipped": k, "expected": expected, "lower": lower, "place": place}
        yield Check(f"flips of class {watched[index]}", Verdict.FAIL, sentence, numbers=numbers)


def _unpredicted(images: int) -> str:
    return f"; {images:,} more have no prediction in one of the jobs" if images else ""


def _class_check(name: str, index: int, moved: Moved, comparison: Comparison) -> Check:
    sentence = verdict_sentence(f"class {name}", moved)
    if moved.verdict is Verdict.FAIL:
        sentence = class_sentence(name, comparison.classes[index], moved)
    numbers: dict[str, Any] = {"class": index, **moved.to_json()}
    if index in comparison.classes:
        moves = comparison.classes[index]
        numbers |= {"place": moves.place, "direction": moves.direction}
    return Check(f"class {name}", moved.verdict, sentence, numbers=numbers)


def _with_flips_check(name: str, index: int, moved: Moved, comparison: Comparison) -> Check:
    moves = comparison.flipped[index]
    sentence = with_flips_sentence(name, moves, moved)
    numbers = {"class": index, **moved.to_json(), "place": moves.place, "direction": moves.direction}
    return Check(f"class {name} with flips", moved.verdict, sentence, numbers=numbers)


def _watched(spec: GateSpec, comparison: Comparison, names: Mapping[int, str]) -> dict[int, str]:
    """The classes that must not move, by index: all with an image of equal bytes, or those that the gate names."""
    if spec.moved.classes == "none":
        return {}
    if spec.moved.classes == "all":
        # Also a class whose masks are all gone in one job: nothing is known of it.
        known = sorted({*comparison.classes, *comparison.counts.images_by_class})
        return {index: names.get(index, str(index)) for index in known if index >= 0}
    watched: dict[int, str] = {}
    for name in spec.moved.classes:
        # Two classes of ImageNet are called crane.
        named = [index for index, known in names.items() if known == name]
        watched |= dict.fromkeys(named or [int(name) if name.isdigit() else -1], name)
    return watched


def _floor_problem(spec: GateSpec, floor: Floor | None) -> str | None:
    if floor is None:
        return "there is no noise floor: name other training runs with --floor JOB JOB, or in [floor] jobs"
    order = list(FloorLevel)
    if order.index(floor.level) < order.index(spec.level):
        return (
            f"the floor is of {LEVEL_WORDS[floor.level]}; this gate requires {LEVEL_WORDS[spec.level]}"
            " ([floor] level)"
        )
    if floor.runs < spec.floor.min_runs:
        return (
            f"the floor has {floor.runs} runs{floor.repetition}; this gate requires {spec.floor.min_runs}"
            " ([floor] min_runs)"
        )
    return None


def _limit_check(name: str, limit: float, comparison: Comparison, tolerance: Tolerance) -> Check:
    if name == FLIPS:
        counts = comparison.counts
        n, k = counts.predicted_images, counts.flipped_images
        lower = float(lower_bound(k, n, tolerance.alpha)) if n else 0.0
        upper = float(upper_bound(k, n, tolerance.alpha_pass)) if n else 1.0
        text = f"flips: {k:,} of {n:,} images are predicted as another class ({lower:.1%} to {upper:.1%})"
        text += _unpredicted(counts.unpredicted_images)
        numbers = {"n": n, "value": k / n if n else None}
        return _bounded(name, text, lower, upper, limit, numbers, tolerance.min_images)
    change = comparison.metrics.get(name)
    if change is None or not change.n:
        text = f"{name}: no image has it in both jobs; submit both with --metrics {name}"
        return Check(f"limit {name}", Verdict.UNDECIDED, text)
    lower = _worsening(name, change, tolerance.alpha)[0]
    upper = _worsening(name, change, tolerance.alpha_pass)[1]
    same = comparison.bit_equal == comparison.pairs and not change.fell and not change.rose
    if same and not change.alone:
        upper = 0.0  # the same masks
    text = f"{name}: mean {change.mean_a:.3f} → {change.mean_b:.3f} over {change.n:,} images"
    if change.infinite:
        text += f"; in {change.infinite:,} more it is infinite in one of the jobs"
    elif change.alone:
        text += (
            f"; in {change.alone:,.0f} more one of the jobs has no finite number or a status other than ok, and may"
            " have changed by 1"
        )
    numbers = {"n": change.n, "value": change.change, "alone": change.alone}
    return _bounded(name, text, lower, upper, limit, numbers, tolerance.min_images)


def _worsening(name: str, change: MetricChange, alpha: float) -> tuple[float, float]:
    """Bounds of how much the mean became worse; of its absolute change if neither direction is better."""
    low, high = change.bounds(alpha)
    better = COLUMNS[name].better
    if better == "higher":
        return -high, -low
    if better == "lower":
        return low, high
    # Two-sided: each bound takes half of alpha.
    low, high = change.bounds(alpha / 2)
    return max(low, -high), max(high, -low)


def _bounded(
    name: str, text: str, lower: float, upper: float, limit: float, numbers: Mapping[str, Any], fewest: int
) -> Check:
    """fewest: images that may pass; fewer can fail or be undecided."""
    passes = upper <= limit and numbers["n"] >= fewest
    verdict = Verdict.FAIL if lower > limit else Verdict.PASS if passes else Verdict.UNDECIDED
    why = "the numbers of too few images differ to bound the others, so it is not decided"
    if math.isfinite(upper) or numbers["n"] < fewest:
        needed = f" ({fewest:,} may pass)" if numbers["n"] < fewest else ""
        why = f"too few images{needed} to decide"
    if numbers.get("alone"):
        why = "too many numbers are missing or not finite to decide"
    ends = {
        Verdict.FAIL: f"worse by more than the limit of {limit:g}",
        Verdict.PASS: f"within the limit of {limit:g}",
        Verdict.UNDECIDED: f"{why} whether it exceeds the limit of {limit:g}",
    }
    shown = {**numbers, "limit": limit}
    return Check(f"limit {name}", verdict, f"{text}: {ends[verdict]}", numbers=shown)


def _audit_checks(spec: GateSpec, new: NewShortcuts | None) -> Iterator[Check]:
    if not spec.audit.no_new_shortcuts:
        return
    if new is None or new.missing:
        why = new.missing if new is not None else "the audits of the two jobs were not read"
        yield Check("audit", Verdict.UNDECIDED, f"whether there are new shortcuts is not known: {why}")
    elif new.sentences:
        yield Check("audit", Verdict.FAIL, f"new confirmed shortcuts: {'; '.join(new.sentences)}")
    else:
        yield Check("audit", Verdict.PASS, "no new confirmed shortcut")


def _waive(check: Check, waivers: Sequence[Waiver], today: date) -> Check:
    # Of two waivers the later one: an extension is added below the waiver that ended.
    for waiver in sorted(waivers, key=lambda waiver: waiver.until, reverse=True):
        covered = (
            (f"class {waiver.class_}", f"class {waiver.class_} with flips", f"flips of class {waiver.class_}")
            if waiver.class_ is not None
            else (f"limit {waiver.limit}",)
        )
        if check.name in covered:
            waived = today <= waiver.until and check.verdict is not Verdict.PASS
            return Check(
                check.name, check.verdict, check.sentence, waiver.sentence(today), waived, check.numbers
            )
    return check
