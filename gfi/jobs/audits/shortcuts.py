"""Which confirmed shortcuts one job's audit found and another job's audit did not: for a gate."""

from gfi.audit.findings import Finding, History, same
from gfi.drift.gate_verdict import NewShortcuts
from gfi.jobs.audits.outcome import finding_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Audit, Job


def shortcuts_since(database: Database, a: Job, b: Job) -> NewShortcuts:
    """The shortcuts that the newest whole audit of job b confirmed and that of job a did not.

    A shortcut that a person dismissed, in either audit, is not new. One that job a's audit only suspected is new.
    """
    before, after = _newest(database, a), _newest(database, b)
    if isinstance(before, str) or isinstance(after, str):
        missing = [found for found in (before, after) if isinstance(found, str)]
        return NewShortcuts(missing="; ".join(missing))
    earlier = [finding_of(row) for row in queries.list_findings(database, before.id)]
    known = [f for f in earlier if f.history is not History.GONE and (f.is_shortcut or f.dismissed)]
    new = []
    for row in queries.list_findings(database, after.id):
        found = finding_of(row)
        if _counts(found) and not any(same(one, found) for one in known):
            new.append(row.sentence)
    return NewShortcuts(tuple(new))


def _counts(found: Finding) -> bool:
    return found.is_shortcut and not found.dismissed and found.history is not History.GONE


def _newest(database: Database, job: Job) -> Audit | str:
    """The newest finished audit of all classes of a job that could test photographs, or why there is none."""
    reasons = []
    for audit in queries.list_audits(database, job.id):
        if audit.options.get("classes") or audit.options.get("patch"):
            continue  # of some classes, or of a stated mark: it says nothing about the others
        if audit.summary is not None:
            if audit.summary.get("photographs"):
                return audit
            why = audit.summary.get("photographs_reason") or "its photographs cannot be read"
            reasons.append(f"audit {audit.id} of job {job.id} could test nothing: {why}")
        elif not audit.ended:
            reasons.append(
                f"audit {audit.id} of job {job.id} is {audit.state.value}; `gfi audit show {audit.id} --wait`"
                " waits for its end"
            )
    return reasons[0] if reasons else f"job {job.id} has no finished audit; `gfi audit {job.id}` makes one"
