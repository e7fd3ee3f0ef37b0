"""How a class stands out in a property, as words: "blurrier than those of other classes"."""

from gfi.audit.properties import VALUE_OF, PropertyCandidate
from gfi.domain.pixel_properties import COMPARED, NAMED


def named(name: str) -> str:
    """The name of a property for people.

    >>> named("red_green")
    'red to green tint'
    """
    return NAMED.get(name, name)


def standing_out(candidate: PropertyCandidate) -> str:
    """What the images of the class are or have, to follow "Images taken for … ".

    >>> standing_out(PropertyCandidate(0, "red_green", 0.2, 0.0, 6.0, 1e-9, 1e-8))
    'are redder than those of other classes'
    >>> standing_out(PropertyCandidate(0, "camera = A", 0.8, 0.1, 6.0, 1e-9, 1e-8))
    'have camera = A more often than those of other classes (80 % of them, usually 10 %)'
    """
    more = candidate.z > 0
    if candidate.name in COMPARED:
        return f"are {COMPARED[candidate.name][more]} than those of other classes"
    if VALUE_OF in candidate.name:
        often = "more" if more else "less"
        return (
            f"have {candidate.name} {often} often than those of other classes ({100 * candidate.mean:.0f} % of them, "
            f"usually {100 * candidate.usual:.0f} %)"
        )
    size = "larger" if more else "smaller"
    return (
        f"have a {size} {candidate.name} than those of other classes ({candidate.mean:.3g} on average, usually "
        f"{candidate.usual:.3g})"
    )
