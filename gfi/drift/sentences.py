"""Comparisons as sentences: counts first, then a sentence for each class that moved."""

from collections.abc import Iterator, Mapping

from gfi.drift.comparison import ClassMoves, Comparison
from gfi.drift.verdicts import Moved, Verdict


def count_sentences(comparison: Comparison) -> Iterator[str]:
    """The counts of images by outcome, prediction flips first."""
    counts = comparison.counts
    labels = counts.same_version > counts.images
    predicted = counts.same_version - counts.unpredicted
    flips = (
        f"{counts.flipped:,} of {predicted:,} {'labels of ' if labels else ''}images with equal bytes are"
        " predicted as another class"
    )
    if labels:
        flips += f", in {counts.flipped_images:,} of {counts.predicted_images:,} images"
    yield f"{flips}; they are counted here and not as moved masks"
    if counts.unpredicted:
        yield f"{counts.unpredicted:,} more have no prediction in one of the jobs; whether they flipped is not known"
    others = (
        (counts.only_a, "only in the first job"),
        (counts.only_b, "only in the second job"),
        (counts.other_version, "with other bytes"),
        (counts.without_mask, "without a mask in one of the jobs"),
        (counts.other_target, "explained for different classes"),
    )
    left_out = [f"{n:,} {words}" for n, words in others if n]
    if left_out:
        yield f"not compared: {', '.join(left_out)}"
    if not comparison.pairs:
        yield "no masks compared, since no image of both jobs is explained for the same class"
        return
    equal = "all" if comparison.bit_equal == comparison.pairs else f"{comparison.bit_equal:,}"
    yield (
        f"{comparison.pairs:,} masks compared, {equal} of them equal bit by bit; mean distance"
        f" {comparison.distance:.3f}, largest {comparison.largest:.3f}"
    )


def class_sentence(name: str, moves: ClassMoves, moved: Moved | None = None) -> str:
    """A class in one sentence: how many masks moved, how many moves were expected, and where the masks moved.

    >>> moves = ClassMoves(100, 34, 0.4, -0.2, 0.2, 0.61, 0.22, "lower left corner", 104, 4)
    >>> class_sentence("husky", moves)
    'class husky: 34 % of masks (34 of 100) moved off the object (energy in box .61 → .22), towards the lower left, \
most to the lower left corner; 4 of 104 images are predicted as another class'
    """
    text = f"class {name}: {_percent(moves.moved, moves.n)} of masks ({moves.moved:,} of {moves.n:,}) moved"
    if moves.moved:
        text += ", ".join(_where(moves))
    if moved is not None:
        text += f"; at most {_tolerated(moved):.0%} are tolerated (95 % bounds {moved.lower:.0%} to {moved.upper:.0%})"
    if moves.flips:
        text += f"; {moves.flips:,} of {moves.images:,} images are predicted as another class"
    return text


def _where(moves: ClassMoves) -> Iterator[str]:
    first = ""
    if moves.energy_a is not None and moves.energy_b is not None:
        change = moves.energy_b - moves.energy_a
        if abs(change) >= 0.05:
            way = "off" if change < 0 else "onto"
            first = (
                f" {way} the object (energy in box {_fraction(moves.energy_a)} → {_fraction(moves.energy_b)})"
            )
    if moves.direction is not None:
        first += f"{',' if first else ''} towards {moves.direction}"
    yield first
    if moves.place is not None:
        yield f"most to the {moves.place}"


def with_flips_sentence(name: str, moves: ClassMoves, moved: Moved) -> str:
    """A class whose masks moved, flipped images included. moves: of the flipped images alone, for the place."""
    text = (
        f"class {name}, with the {moves.n:,} images that the two models predict differently:"
        f" {_percent(moved.moved, moved.n)} of the masks of its label ({moved.moved:,} of {moved.n:,}) moved"
    )
    if moves.moved:
        text += ", ".join(_where(moves))
    return text + (
        f"; at most {_tolerated(moved):.0%} are tolerated (95 % bounds {moved.lower:.0%} to {moved.upper:.0%})"
    )


def flipped_sentence(
    name: str, count: tuple[int, int], expected: float, lower: float, moves: ClassMoves | None
) -> str:
    """A class whose predictions flipped. count: (flipped, images); expected: the share in the floor; lower: the bound.

    moves: of the flipped images for which both jobs explained the same class; None if there is none.
    """
    flipped, images = count
    text = (
        f"class {name}: {_percent(flipped, images)} of its images ({flipped:,} of {images:,}) are predicted as another"
        f" class, at least {lower:.0%}; training runs of the floor differ in up to {expected:.0%}"
    )
    if moves is not None and moves.moved:
        text += f"; the masks of its label moved in {moves.moved:,} of {moves.n:,} of them" + ", ".join(
            _where(moves)
        )
    return text


def pooled_sentence(comparison: Comparison, moved: Moved) -> str:
    """The verdict over all classes, in one sentence."""
    several = comparison.pairs > comparison.images
    unit = "images moved, each counted by the share of its masks" if several else "masks moved"
    return verdict_sentence("all classes together", moved, unit)


def verdict_sentence(name: str, moved: Moved, unit: str = "masks moved") -> str:
    """A verdict in one sentence; an undecided one with the number of images that would decide it."""
    count = f"{moved.moved:,.0f}" if moved.moved == int(moved.moved) else f"{moved.moved:,.1f}"
    text = (
        f"{name}: {moved.verdict}; {count} of {moved.n:,} {unit} ({moved.share:.1%};"
        f" {moved.lower:.1%} to {moved.upper:.1%}), the floor expects up to {moved.p0:.1%}, the limit is"
        f" {moved.limit:.1%}"
    )
    if moved.fails_at - moved.limit >= 0.0005:
        text += f", and that of a fail {moved.fails_at:.1%}, since the floor's runs vary"
    if moved.verdict is not Verdict.UNDECIDED:
        return text
    if moved.decides is not None:
        return f"{text}; about {moved.decides:,} images would decide it if the share does not change"
    return f"{text}; {moved.reason}"


def class_name(index: int, names: Mapping[int, str] | None = None) -> str:
    """The name of a class, or its index."""
    return (names or {}).get(index, str(index))


def _tolerated(moved: Moved) -> float:
    return moved.fails_at if moved.verdict is Verdict.FAIL else moved.limit


def _percent(k: float, n: int) -> str:
    return f"{100 * k / n:.0f} %" if n else "0 %"


def _fraction(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
