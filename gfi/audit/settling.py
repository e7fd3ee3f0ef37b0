"""The tests of the sequential audit on one instalment after the other: what each may use, and what is said in the end.

A candidate is removed from the images of its class in the newest instalment, and its crops are pasted into images of
other classes, from any instalment, that were not its hosts before. So each image and each host counts once for a
candidate, and what was measured before cannot change what comes. Control crops may come again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import Effects
from gfi.audit.explained import Explained
from gfi.audit.plan import Plan
from gfi.audit.same_pixels import SamePixels
from gfi.audit.sequential import Evidence, Settled, Values, adjusted, beyond_controls, mean_bound
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import Tested, Verdict, confirmed_as, ranked

Measured = tuple[Plan, Effects | None]
"""Of one candidate and instalment; no effects where it was seen in no image."""


def usable(
    data: Explained, candidate: Candidate, fresh: NDArray[np.bool_], hosts: NDArray[np.bool_]
) -> Explained:
    """The images of all instalments as a plan reads them: in its confirmation half is what this instalment may use for
    the candidate.

    fresh (N,): of the newest. hosts (N,): which were hosts of the candidate before.
    """
    own = data.classes == candidate.class_index
    return replace(data, screening=~((data.classes >= 0) & np.where(own, fresh, ~hosts)))


def settings_of_instalment(settings: AuditSettings, images: int) -> AuditSettings:
    """The settings with which an instalment of at most `images` images of a class is planned: all of them are used."""
    return replace(settings, most_images=max(images, 1), fewest_used=1)


def evidence_of(evidence: Evidence, instalments: Sequence[Sequence[Measured]]) -> Evidence:
    """Add what was measured, in its order. Returns `evidence`."""
    for measured in instalments:
        for number, (_, effects) in enumerate(measured):
            if effects is not None:
                evidence.add(number, *beyond_controls(effects))
    return evidence


def joined(measured: Sequence[Measured], candidate: Candidate) -> Measured:
    """The instalments of one candidate as one plan and its effects."""
    plans = [plan for plan, _ in measured]
    known = [effects for _, effects in measured if effects is not None]
    outside = [plan.outside for plan in plans if plan.removals and plan.outside is not None]
    plan = Plan(
        candidate,
        tuple(r for plan in plans for r in plan.removals),
        tuple(t for plan in plans for t in plan.transplants),
        seen=sum(plan.seen for plan in plans),
        images=sum(plan.images for plan in plans),
        outside=all(outside) if outside else None,
        reused=sum(plan.reused for plan in plans),
        labelled=sum(plan.labelled for plan in plans),
        labelled_otherwise=sum(plan.labelled_otherwise for plan in plans),
        boxed=sum(plan.boxed for plan in plans),
        beside_boxes=sum(plan.beside_boxes for plan in plans),
    )
    if not known:
        return plan, None

    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(effects, name) for effects in known])

    return plan, Effects(
        all_of("before"),
        all_of("removal"),
        _stacked([effects.removal_controls for effects in known]),
        all_of("transplant"),
        _stacked([effects.transplant_controls for effects in known]),
        all_of("flips"),
        _stacked([effects.control_flips for effects in known]),
        _same([effects.same_pixels for effects in known if effects.same_pixels is not None]),
    )


def judged(
    joint: Sequence[Measured],
    evidence: Evidence,
    settings: AuditSettings,
    without_hosts: Collection[int] = (),
) -> list[Tested]:
    """The candidates in which something may be: confirmed or open, in the order of ranking. joint: of each candidate.

    without_hosts: those that no image is left for to paste into; they are undecided.

    p is 1/e, which is a p-value whenever one stops; q the smallest level at which e-BH rejects. Lower bounds hold
    whenever one stops, too.
    """
    e, out = evidence.e_values, []
    q = adjusted(evidence.accounts)
    sides = evidence.side_values
    for number, ((plan, effects), state) in enumerate(zip(joint, evidence.settled(), strict=True)):
        if state is Settled.NOTHING:
            continue
        removal, transplant, flipped, usual = (np.zeros(0),) * 4
        verdict = Verdict.UNDECIDED if number in without_hosts else Verdict.SUSPECTED
        if effects is not None:
            removal, transplant = beyond_controls(effects)
            flipped = effects.flips.astype(np.float64)
            usual = np.nanmean(effects.control_flips, axis=1) if len(flipped) else flipped
            if state is Settled.CONFIRMED:
                verdict = confirmed_as(plan, effects, settings)
        p, *p_sides = (min(1.0, 1 / max(float(values[number]), 1e-300)) for values in (e, *sides))
        out.append(
            Tested(
                plan,
                verdict,
                p,
                float(q[number]),
                p_sides[0],
                p_sides[1],
                removal=_mean(removal),
                removal_lower=mean_bound(removal, settings.level),
                transplant=_mean(transplant),
                transplant_lower=mean_bound(transplant, settings.level),
                flips=_mean(flipped),
                flips_lower=mean_bound(flipped - usual, settings.level),
                number_tested=len(joint),
                effects=effects,
            )
        )
    return ranked(out)


def hosts_wanted(
    evidence: Evidence,
    classes: NDArray[np.integer],
    hosts_used: Sequence[int],
    coming: Mapping[int, int],
    controls: int,
) -> int:
    """How many images of classes without an open candidate the next instalment needs, as hosts and control crops.

    classes (N,): of the images of all instalments so far. hosts_used (K,): of each candidate. coming: class → images of
    it in the next instalment; a class of which none come is not tested, and needs none.
    """
    most = 0
    for number, state in enumerate(evidence.settled()):
        k = int(evidence.classes[number])
        if state is not Settled.OPEN or not coming.get(k):
            continue
        others = int((classes != k).sum()) - hosts_used[number]
        others += sum(images for c, images in coming.items() if c != k)
        most = max(most, coming[k] + 2 * controls - others)
    return most


def can_paste(others: NDArray[np.integer], controls: int) -> bool:
    """Whether a crop can be pasted into one of these images, with controls from third classes.

    others (N,): the classes of the images of other classes that were no hosts of the candidate yet.
    """
    counts = np.unique(others, return_counts=True)[1]
    return len(counts) > 1 and int(counts.sum() - counts.min()) >= controls


def _mean(values: Values) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _stacked(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Below each other, NaN where a row is shorter than others."""
    width = max(array.shape[1] for array in arrays)
    return np.concatenate(
        [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=np.nan) for a in arrays]
    )


def _same(found: Sequence[SamePixels]) -> SamePixels | None:
    """S4 over all instalments: crops are compared within each."""
    if not found:
        return None
    crops = sum(one.crops for one in found)
    return SamePixels(
        sum(one.repeated for one in found),
        crops,
        sum(one.foreign for one in found),
        sum(one.others for one in found),
        sum(one.ncc * one.crops for one in found) / crops,
        sum(one.ncc_across * one.crops for one in found) / crops,
    )
