"""The plain sentence of a finding, and that of a class without one."""

from gfi.audit.findings import Finding
from gfi.audit.property_words import named
from gfi.audit.verdicts import Verdict


def sentence(finding: Finding) -> str:
    """One finding in words, with its numbers.

    >>> says = "are blurrier than those of other classes"
    >>> sentence(Finding("carton", "property", Verdict.SUSPECTED, property_name="sharpness", stands_out=says))
    'Images explained for "carton" are blurrier than those of other classes. Nothing was changed to test it: suspected.'
    """
    name = f'"{finding.class_name}"'
    if finding.kind == "property":
        says = finding.stands_out or f"differ from other classes in {named(finding.property_name)}"
        return f"Images explained for {name} {says}. Nothing was changed to test it: suspected."
    if finding.kind == "stated" and finding.number_tested:
        says = (
            f"raises its probability by {finding.transplant:.2f} (95 %: at least {finding.transplant_lower:.2f}), and "
            f"{100 * finding.flips:.0f} % of them are then taken for it (at least "
            f"{100 * max(finding.flips_lower, 0):.0f} %)"
        )
        begin = "The" if finding.verdict is Verdict.RELIES_ON else "No test confirmed that the"
        return (
            f"{begin} stated mark leads to {name}: pasted into {finding.used} images of other classes it {says} "
            f"({_tests(finding)})."
        )
    what = "a repeated pattern" if finding.place is None else f"the {finding.place.words()} of the image"
    if finding.verdict is Verdict.SUSPECTED and not finding.number_tested:
        return (
            f"The masks of {name} stand out at {what}. It was not tested, since its photographs could not be read: "
            "suspected."
        )
    seen = f"seen in {finding.seen} of {finding.images} images"
    if finding.verdict is Verdict.UNDECIDED and not finding.more_images:
        return (
            f"{name} may rely on {what} ({seen}): no image of another class is left to paste it into"
            f"{f' ({_tests(finding)})' if finding.used else ''}; more images of other classes would do."
        )
    if finding.verdict is Verdict.UNDECIDED:
        return (
            f"{name} may rely on {what} ({seen}): too few images to test it; "
            f"about {finding.more_images} more images of the class would do."
        )
    if finding.verdict is Verdict.SUSPECTED:
        return (
            f"The masks of {name} stand out at {what} ({seen}), but the tests did not confirm it "
            f"({_tests(finding)})."
        )
    same_pixels = f"A shortcut: {name} relies on the same pixels again and again, {_at(finding)}"
    off_object = f"A shortcut: {name} relies on {what}, outside every box of the class"
    if finding.boxed:
        off_object = (
            f"{same_pixels}; at least three quarters of them lie outside every box of the class in "
            f"{finding.beside_boxes} of {finding.boxed} images"
        )
    reason = {
        Verdict.OFF_OBJECT: off_object,
        Verdict.REPEATED_MARK: same_pixels,
        Verdict.RELIES_ON: f"{name} is recognised by {what}",
    }[finding.verdict]
    return f"{reason} ({seen}). {_effects(finding)} ({_tests(finding)}).{_misleads(finding)}{_in_training(finding)}"


def _misleads(finding: Finding) -> str:
    if not finding.misleads or finding.training is not None:
        return ""
    return (
        f" {finding.labelled_otherwise} of the {finding.used} images tested are labelled otherwise: it misleads the "
        "model, and the images of its class do not have it."
    )


def _in_training(finding: Finding) -> str:
    """What a search of training images says of a shortcut."""
    training = finding.training
    if training is None:
        return ""
    if training.too_small:
        return " Its pixels are too small to search for in the training images."
    if not training.images:
        return " No training image of the class could be searched for these pixels."
    if training.found:
        return (
            f" The same pixels are in {training.found} of {training.images} training images of the class that were "
            "searched."
        )
    none = f" None of {training.images} training images of the class that were searched has these pixels"
    bound = f"{100 * training.at_most:.1f} %"
    if finding.misleads:
        return (
            f"{none} (95 %: at most {bound} of all {training.listed} have marks as clear as in the audited images): it "
            "misleads the model, and these images did not teach it."
        )
    return (
        f"{none}, but up to {bound} of all {training.listed} may have marks as clear as in the audited images (95 %): "
        "too many to say that it was not learned there."
    )


def _at(finding: Finding) -> str:
    return "at changing places" if finding.place is None else f"at the {finding.place.words()}"


def _effects(f: Finding) -> str:
    return (
        f"Removing it from {f.used} images{_beside(f)} lowers the probability by {f.removal:.2f} (95 %: at least "
        f"{f.removal_lower:.2f}); pasted into images of other classes it raises it by {f.transplant:.2f} (at least "
        f"{f.transplant_lower:.2f}) and {100 * f.flips:.0f} % of them are then taken for the class (at least "
        f"{100 * max(f.flips_lower, 0):.0f} %)"
    )


def _beside(f: Finding) -> str:
    return f" (from {f.beside} of them together with another repeated pattern)" if f.beside else ""


def _tests(f: Finding) -> str:
    return f"p {f.p:.2g}, q {f.q:.2g}, {f.number_tested} tested"


def limit_sentence(class_name: str, share: float | None, images: int, effect: float) -> str:
    """What would have been found in a class: share is its detection limit, None where no share would do."""
    if share is None:
        return (
            f'"{class_name}": {images} images are too few to confirm even a mark that every one of them has.'
        )
    return (
        f'"{class_name}": a repeated mark that the masks show in ≥ {100 * share:.0f} % of these {images} images, '
        f"and that changes the probability by {effect:.2f} on average, would have been confirmed with probability .9."
    )
