"""How a class stands out in a property, as words: "blurrier than those of other classes"."""

from gfi.audit.cluster_columns import RIGHT, Association
from gfi.audit.properties import VALUE_OF, PropertyCandidate
from gfi.domain.pixel_properties import COMPARED, NAMED


def named(name: str) -> str:
    """The name of a property for people.

    >>> named("red_green")
    'red to green tint'
    """
    return NAMED.get(name, name)


def standing_out(candidate: PropertyCandidate) -> str:
    """What the images of the class are or have, to follow "Images explained for … ".

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


def in_words(found: Association) -> str:
    """How the images of a cluster differ from the others of their class, to follow "its images ".

    >>> in_words(Association("brightness", 0.2, 0.4, 1e-6, 1e-4))
    'are darker than the others of the class'
    >>> in_words(Association("right", 0.4, 0.9, 1e-6, 1e-4))
    'are taken for their label less often than the others of the class (40 %, others 90 %)'
    >>> in_words(Association("camera = A", 0.8, 0.1, 1e-6, 1e-4))
    'have camera = A more often than the others of the class (80 %, others 10 %)'
    """
    more = found.inside > found.outside
    shares = f"({100 * found.inside:.0f} %, others {100 * found.outside:.0f} %)"
    often = f"{'more' if more else 'less'} often than the others of the class {shares}"
    if found.name == RIGHT:
        return f"are taken for their label {often}"
    if VALUE_OF in found.name:
        return f"have {found.name} {often}"
    if found.name in COMPARED:
        return f"are {COMPARED[found.name][more]} than the others of the class"
    size = "larger" if more else "smaller"
    return (
        f"have a {size} {found.name} than the others of the class ({found.inside:.3g} on average, others "
        f"{found.outside:.3g})"
    )
