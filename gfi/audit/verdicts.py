"""From measured effects to a verdict.

Confirmed: q ≤ .05 over all candidates tested, where p is the larger one of removal and transplant, and the lower bound
of an effect reaches its threshold. What is confirmed is called a shortcut only with a second reason: the place lies
outside every box, or the same pixels repeat. Boxes that touch the place, and not the pixels that repeat in it, change
the kind of such a shortcut, never whether it is one. Otherwise the class relies on the place, and a person judges.

A shortcut of a class is learned from its images, so they must have it. Where most of the images in which it is seen are
labelled otherwise, the network answers something that misleads it (a mark added after the training); it is confirmed,
and it is no shortcut of the class. So it is where the training images of the class were searched, and none has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gfi.audit import rank_test
from gfi.audit.bounds import mean_lower_bound, share_lower_bound
from gfi.audit.confirmation import Effects
from gfi.audit.false_discovery import q_values
from gfi.audit.plan import Plan
from gfi.audit.settings import AuditSettings
from gfi.audit.training_images import InTraining


class Verdict(StrEnum):
    """What an audit says of a candidate."""

    OFF_OBJECT = "off_object_shortcut"
    """Confirmed, and the place lies outside every box of the class in the images used; or the same pixels repeat, and
    lie beside every box in at least half of their images."""
    REPEATED_MARK = "repeated_mark_shortcut"
    """Confirmed, and the same pixels repeat in the confirmation half."""
    RELIES_ON = "relies_on"
    """Confirmed otherwise: what the class is recognised by. A person judges it; it is never called a shortcut."""
    SUSPECTED = "suspected"
    """Screened, not confirmed."""
    UNDECIDED = "undecided"
    """Too few images to test."""


SHORTCUTS = frozenset({Verdict.OFF_OBJECT, Verdict.REPEATED_MARK})


@dataclass(frozen=True)
class Tested:
    """A candidate with what confirmation measured and what is said of it.

    p, q: of the larger rank test, over `number_tested` candidates; 1 where it was not tested. The three effects are
    means over images, each with its lower 95 % bound. more_images: how many more images of the class would be enough
    to test it, for `undecided`.
    """

    plan: Plan
    verdict: Verdict
    p: float
    q: float
    p_removal: float
    p_transplant: float
    removal: float
    removal_lower: float
    transplant: float
    transplant_lower: float
    flips: float
    flips_lower: float
    number_tested: int
    more_images: int = 0
    effects: Effects | None = None
    training: InTraining | None = None
    """Of a shortcut: what a search of the training images of its class found; None where there was none."""

    @property
    def misleads(self) -> bool:
        """Whether it is confirmed, and the class was not taught it: most images that have it are labelled otherwise, or
        no training image has it."""
        return self.plan.misleads or (self.training is not None and self.verdict not in SHORTCUTS)

    @property
    def prevalence(self) -> float:
        """Share of the class's images of the confirmation half in which the candidate is seen."""
        return self.plan.seen / max(self.plan.images, 1)

    @property
    def effect_lower(self) -> float:
        """The larger lower bound of Δp of removal and transplant, or that of the share of flips."""
        return max(self.removal_lower, self.transplant_lower, self.flips_lower, 0.0)

    @property
    def weight(self) -> float:
        """What findings are ranked by: lower bound of the effect × prevalence."""
        return self.effect_lower * self.prevalence


def too_few(plan: Plan, settings: AuditSettings) -> int:
    """How many more images of the class a plan needs; 0 when it can be tested.

    Counted over both halves: half of the new images confirm, and the candidate is seen in a share of those.
    """
    if plan.candidate.patch is not None:  # a stated mark is only pasted, into images of other classes
        return max(0, 2 * (settings.fewest_used - len(plan.transplants)))
    missing = settings.fewest_used - min(len(plan.removals), len(plan.transplants))
    if missing <= 0:
        return 0
    share = max(len(plan.removals) / max(plan.images, 1), plan.candidate.share / 2, 0.02)
    return int(np.ceil(2 * missing / share))


def judge(plans: Sequence[Plan], effects: Sequence[Effects | None], settings: AuditSettings) -> list[Tested]:
    """Verdicts of all candidates together, in the order of ranking: shortcuts first, then by weight.

    effects: None for a plan with too few images. BH runs over the plans that have effects.
    """
    pairs = [
        (
            rank_test.p_value(e.removal, e.removal_controls) if len(e.removal) else 0.0,
            rank_test.p_value(e.transplant, e.transplant_controls),
        )
        if e is not None
        else (1.0, 1.0)
        for e in effects
    ]
    tested = [i for i, e in enumerate(effects) if e is not None]
    q = np.ones(len(plans))
    if tested:
        q[tested] = q_values(np.array([max(pairs[i]) for i in tested]))
    out = [
        _judged(plan, e, pair, float(q[i]), len(tested), settings)
        for i, (plan, e, pair) in enumerate(zip(plans, effects, pairs, strict=True))
    ]
    return ranked(out)


def ranked(found: Sequence[Tested]) -> list[Tested]:
    """In the order of reading: shortcuts, what is confirmed otherwise, suspected, undecided; each by weight."""
    order = list(Verdict)
    return sorted(
        found,
        key=lambda t: (
            t.verdict not in SHORTCUTS,
            max(order.index(t.verdict), 1),
            -t.weight,
            t.p,
            -t.plan.candidate.score,
        ),
    )


def repeats(effects: Effects, s: AuditSettings) -> bool:
    """Whether the same pixels are at the place in enough images."""
    return effects.same_pixels is not None and effects.same_pixels.holds(s.repeated_share, s.level)


def after_training_images(
    found: Sequence[Tested], searched: Mapping[int, InTraining], s: AuditSettings
) -> list[Tested]:
    """The verdicts once training images were searched for the pixels of shortcuts, in their new order.

    searched: of the shortcuts, by their position in `found`. What no training image has is no shortcut.
    """
    out = list(found)
    for at, training in searched.items():
        learned = training.found > 0 or training.at_most > s.training_share
        verdict = found[at].verdict if learned else Verdict.RELIES_ON
        out[at] = replace(found[at], verdict=verdict, training=training)
    return ranked(out)


def confirmed_as(plan: Plan, effects: Effects, s: AuditSettings) -> Verdict:
    """What a confirmed candidate is called: a shortcut, where there is a second reason."""
    if plan.misleads:
        return Verdict.RELIES_ON
    if plan.outside:
        return Verdict.OFF_OBJECT
    if not repeats(effects, s):
        return Verdict.RELIES_ON
    # A shortcut by its pixels already; the boxes say of which kind.
    return Verdict.OFF_OBJECT if plan.pattern_outside else Verdict.REPEATED_MARK


def _judged(
    plan: Plan, effects: Effects | None, pair: tuple[float, float], q: float, number: int, s: AuditSettings
) -> Tested:
    if effects is None:
        return Tested(plan, Verdict.UNDECIDED, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, number, max(1, too_few(plan, s)))
    # An effect is what the candidate does beyond its controls: filling or pasting anything changes a little.
    removal = np.zeros(1)  # of a stated mark, which is in none of the images
    if len(effects.removal):
        removal = effects.removal - np.nanmean(effects.removal_controls, axis=1)
    transplant = effects.transplant - np.nanmean(effects.transplant_controls, axis=1)
    flipped, hosts = int(effects.flips.sum()), len(effects.flips)
    usual = float(np.nanmean(effects.control_flips))
    bounds = (
        mean_lower_bound(removal, s.level) if len(effects.removal) else 0.0,
        mean_lower_bound(transplant, s.level),
        share_lower_bound(flipped, hosts, s.level) - usual,
    )
    enough = max(bounds[:2]) >= s.least_effect or bounds[2] >= s.least_flips
    verdict = Verdict.SUSPECTED
    if q <= s.level and enough:
        verdict = confirmed_as(plan, effects, s)
    return Tested(
        plan,
        verdict,
        max(pair),
        q,
        *pair,
        float(removal.mean()),
        bounds[0],
        float(transplant.mean()),
        bounds[1],
        flipped / hosts,
        bounds[2],
        number,
        0,
        effects,
    )
