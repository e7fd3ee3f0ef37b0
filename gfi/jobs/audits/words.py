"""What an audit says as a whole, in one phrase."""

from collections.abc import Mapping
from typing import Any

from gfi.domain.states import AuditState


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
