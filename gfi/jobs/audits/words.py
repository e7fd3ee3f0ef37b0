"""The words of an audit as a whole: its verdict in a phrase, the groups of its findings, what was tested."""

from collections.abc import Mapping
from typing import Any

from gfi.domain.states import AuditState

GROUPS = (
    (
        ("off_object_shortcut", "repeated_mark_shortcut"),
        "Shortcuts, confirmed",
        "The place lies outside every box of the class, or the same pixels repeat.",
    ),
    (
        ("relies_on",),
        "What classes are recognised by, confirmed",
        "Whether it is the object or beside the point is for a person to judge.",
    ),
    (("suspected",), "Suspected, not confirmed", "It stands out, but no test confirmed it."),
    (("undecided",), "Undecided", "Too few images to test."),
)
"""(verdicts, title, meaning) in the order of reading: each verdict of a finding is in one group."""

GONE = ("Gone since the audit before", "Found by the audit before, and not by this one.")


def coverage_sentence(summary: Mapping[str, Any]) -> str:
    """What was looked at, and how often the network was asked."""
    return (
        f"{summary['images']:,} masks{', one of each label of an image,' if summary.get('each_label') else ''} of "
        f"{summary['classes']:,} classes; {summary['number_tested']:,} of "
        f"{summary['proposed']:,} candidates tested; the network answered for {summary['answers']:,} pictures"
    )


def gallery_of(job_id: str, audit_id: str, finding_id: str) -> str:
    """The address of the gallery that shows the images of a finding."""
    return f"/jobs/{job_id}/gallery?finding={audit_id}:{finding_id}"


def verdict_in_words(state: AuditState, summary: Mapping[str, Any] | None, reason: str | None = None) -> str:
    """The verdict of an audit. summary: None until it is done; reason: why it failed.

    >>> verdict_in_words(AuditState.DONE, {"shortcuts": 1, "verdicts": {"suspected": 2}, "history": {"new": 3}})
    '1 shortcut confirmed; 2 suspected'
    """
    if summary is None or state is not AuditState.DONE:
        return f"{state.value}: {reason}" if reason else state.value
    shortcuts, verdicts = summary["shortcuts"], summary["verdicts"]
    said = ["no shortcut confirmed" if not shortcuts else f"{_count(shortcuts, 'shortcut')} confirmed"]
    if known := verdicts.get("relies_on"):
        said.append(f"{_count(known, 'place')} that classes are recognised by")
    said += [f"{verdicts[name]:,} {name}" for name in ("suspected", "undecided") if verdicts.get(name)]
    if summary.get("previous"):
        changes = [
            f"{n:,} {name}" for name in ("new", "grown", "gone") if (n := summary["history"].get(name))
        ]
        said.append("since the audit before: " + (", ".join(changes) or "nothing new"))
    return "; ".join(said)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
