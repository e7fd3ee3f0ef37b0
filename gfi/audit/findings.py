"""Findings: what an audit says, with an identity across runs and model versions.

The identity is the class, the kind (a place, a pattern of pixels, a property) and the place or property, never the
verdict or a number: so a finding that was suspected and is now confirmed is the same finding, grown. Two places are the
same when they share 40 % of the smaller one's area.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from gfi.audit.bounds import share_lower_bound
from gfi.audit.candidates import Candidate
from gfi.audit.places import Place
from gfi.audit.properties import PropertyCandidate
from gfi.audit.property_words import standing_out
from gfi.audit.training_images import InTraining
from gfi.audit.verdicts import SHORTCUTS, Tested, Verdict
from gfi.domain.digests import digest

Kind = Literal["place", "pattern", "property", "stated"]


class History(StrEnum):
    """A finding compared with the previous audit."""

    NEW = "new"
    KNOWN = "known"
    GROWN = "grown"
    GONE = "gone"


@dataclass(frozen=True)
class Finding:
    """What is said of one class. Shares and effects in [0, 1]; seen of images: in the confirmation half.

    dismissed: why a person set it aside; empty where nobody did.
    """

    class_name: str
    kind: Kind
    verdict: Verdict
    place: Place | None = None
    property_name: str = ""
    stands_out: str = ""
    """Of a property: how the images of the class differ, in words (`property_words`)."""
    seen: int = 0
    images: int = 0
    used: int = 0
    removal: float = 0.0
    removal_lower: float = 0.0
    transplant: float = 0.0
    transplant_lower: float = 0.0
    flips: float = 0.0
    flips_lower: float = 0.0
    p: float = 1.0
    q: float = 1.0
    number_tested: int = 0
    more_images: int = 0
    beside: int = 0
    """Images from which another repeated pattern of the class was removed as well."""
    labelled_otherwise: int = 0
    """Of the images that it was removed from: those with a label of another class."""
    misleads: bool = False
    """Most of them are, or no training image of the class has it; the network answers something that misleads it."""
    training: InTraining | None = None
    """Of a shortcut whose pixels were looked for in training images: what was found."""
    boxed: int = 0
    """Of an off-object shortcut whose place boxes touch: the images with its pixels and with boxes; else 0."""
    beside_boxes: int = 0
    """Those of `boxed` in which its pixels lie beside every box."""
    weight: float = 0.0
    history: History = History.NEW
    dismissed: str = ""
    class_index: int | None = None
    known_as: str = ""
    """The id under which an earlier audit found it, whose place may lie in another cell."""

    @property
    def id(self) -> str:
        """Twelve hex digits. The place counts by the cell of a 7×7 grid that its centre is in."""
        if self.known_as:
            return self.known_as
        where = None if self.place is None else [int(c * 7) for c in self.place.centre]
        return digest([self.class_name, self.kind, where, self.property_name])[:12]

    @property
    def is_shortcut(self) -> bool:
        """Whether it is confirmed and called a shortcut."""
        return self.verdict in SHORTCUTS


def of_place(tested: Tested, class_name: str) -> Finding:
    """The finding of a tested candidate."""
    candidate = tested.plan.candidate
    kind: Kind = "pattern" if candidate.place is None else "place"
    patch = ""
    touched = tested.verdict is Verdict.OFF_OBJECT and not tested.plan.outside
    if candidate.patch is not None:
        kind, patch = "stated", hashlib.sha256(candidate.patch.tobytes()).hexdigest()[:12]
    return Finding(
        class_name,
        kind,
        tested.verdict,
        candidate.place,
        property_name=patch,
        seen=tested.plan.seen,
        images=tested.plan.images,
        used=len(tested.plan.removals) or len(tested.plan.transplants),
        removal=tested.removal,
        removal_lower=tested.removal_lower,
        transplant=tested.transplant,
        transplant_lower=tested.transplant_lower,
        flips=tested.flips,
        flips_lower=tested.flips_lower,
        p=tested.p,
        q=tested.q,
        number_tested=tested.number_tested,
        more_images=tested.more_images,
        beside=sum(r.beside is not None for r in tested.plan.removals),
        labelled_otherwise=tested.plan.labelled_otherwise,
        misleads=tested.misleads,
        training=tested.training,
        boxed=tested.plan.boxed if touched else 0,
        beside_boxes=tested.plan.beside_boxes if touched else 0,
        weight=tested.weight,
        class_index=candidate.class_index,
    )


def of_untested(candidate: Candidate, class_name: str) -> Finding:
    """The finding of a candidate that could not be tested, since its photographs cannot be read: suspected."""
    return Finding(
        class_name,
        "pattern" if candidate.place is None else "place",
        Verdict.SUSPECTED,
        candidate.place,
        class_index=candidate.class_index,
    )


def of_property(candidate: PropertyCandidate, class_name: str, images: int) -> Finding:
    """The finding of S5: suspected, since nothing was changed in an image. p and q are the screen's."""
    return Finding(
        class_name,
        "property",
        Verdict.SUSPECTED,
        property_name=candidate.name,
        stands_out=standing_out(candidate),
        images=images,
        p=candidate.p,
        q=candidate.q,
        class_index=candidate.class_index,
    )


def same(a: Finding, b: Finding) -> bool:
    """Whether two findings are the same one in two runs."""
    if (a.class_name, a.kind, a.property_name) != (b.class_name, b.kind, b.property_name):
        return False
    return a.place is b.place if a.place is None or b.place is None else a.place.overlap(b.place) >= 0.4


def grew(before: Finding, now: Finding) -> bool:
    """Whether a finding is more than it was: confirmed now, or seen in a share that exceeds the earlier one.

    The lower 95 % bound of the share now must lie above the share before.
    """
    confirmed = {*SHORTCUTS, Verdict.RELIES_ON}
    if (now.verdict in confirmed and before.verdict not in confirmed) or (
        now.is_shortcut and not before.is_shortcut
    ):
        return True
    return bool(
        before.images and now.images and share_lower_bound(now.seen, now.images) > before.seen / before.images
    )


def compare(previous: Sequence[Finding], current: Sequence[Finding]) -> list[Finding]:
    """The current findings with their history, then those that are gone.

    A dismissed finding stays dismissed unless it grew.
    """
    out, met = [], set()
    for now in current:
        at = next((i for i, before in enumerate(previous) if i not in met and same(before, now)), None)
        if at is None:
            out.append(replace(now, history=History.NEW))
            continue
        met.add(at)
        bigger = grew(previous[at], now)
        dismissed = "" if bigger else previous[at].dismissed
        history = History.GROWN if bigger else History.KNOWN
        out.append(replace(now, history=history, dismissed=dismissed, known_as=previous[at].id))
    gone = [before for i, before in enumerate(previous) if i not in met and before.history != History.GONE]
    return out + [replace(before, history=History.GONE) for before in gone]
