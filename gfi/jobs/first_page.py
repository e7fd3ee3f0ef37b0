"""The first page of a job's report: its question, and its newest audit that is done."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gfi.domain.job import LABELS
from gfi.domain.states import AuditState
from gfi.jobs.audits.outcome import LIMIT_EFFECT
from gfi.jobs.audits.pictures import picture_key
from gfi.jobs.audits.words import GONE, GROUPS, coverage_sentence, verdict_in_words
from gfi.report.first_page import AuditPage, FindingGroup, FirstPage, Limit, Picture, ToldFinding
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket
from gfi.store.queries import Audit, AuditFinding, Job


def first_page(database: Database, bucket: Bucket, job: Job) -> FirstPage:
    """What is asked of a job, and what its audit answers: the newest that is done, one of all classes before others."""
    audits = queries.list_audits(database, job.id)
    done = [audit for audit in audits if audit.state is AuditState.DONE]
    shown = next((audit for audit in done if _of_everything(audit)), done[0] if done else None)
    others = tuple(
        f"Audit {audit.id}{_scope(audit, job.class_names)}: "
        f"{verdict_in_words(audit.state, audit.summary, audit.reason)}."
        for audit in audits
        if audit is not shown
    )
    command = f"gfi audit {job.id}"
    if shown is None:
        missing = (
            "No audit is done, so nothing here says whether the model looks at the wrong thing."
            if audits
            else "No audit was run, so nothing here says whether the model looks at the wrong thing."
        )
        return FirstPage(question(job), None, missing, command, others)
    return FirstPage(question(job), _audit_page(database, bucket, job, shown), "", command, others)


def question(job: Job) -> str:
    """What the masks of a job answer, as a question."""
    config, names = job.config, job.class_names

    def name(index: int | str) -> str:
        if isinstance(index, int) and index < len(names):
            return f"“{names[index].split(',')[0]}”"
        return f"class {index}"

    if config.target == "auto":
        leads = "its label, or where that is no class of the model to the class predicted"
    elif config.target == LABELS:
        leads = "each of its labels"
    elif config.target == "predicted":
        leads = "the class predicted" if config.top == 1 else f"the {config.top} most probable classes"
    else:
        leads = name(config.target)
    rather = "" if config.foil is None else f" rather than {name(config.foil)}"
    return f"Which part of each image leads {config.model.reference} to {leads}{rather}?"


def day(at: float | None) -> str:
    """An instant as day and minute in UTC; empty for None."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%d %B %Y, %H:%M UTC")


def _of_everything(audit: Audit) -> bool:
    return not audit.options.get("classes") and not audit.options.get("patch")


def _scope(audit: Audit, names: Sequence[str]) -> str:
    if audit.options.get("patch"):
        return ", of a stated mark"
    classes = [
        names[k].split(",")[0] if k < len(names) else str(k) for k in audit.options.get("classes") or ()
    ]
    return f", of {', '.join(classes[:5])}{' …' if len(classes) > 5 else ''}" if classes else ""


def _audit_page(database: Database, bucket: Bucket, job: Job, audit: Audit) -> AuditPage:
    summary = audit.summary or {}
    found = queries.list_findings(database, audit.id)
    rows = {row for finding in found for row in finding.record.get("rows", ())}
    keys = queries.keys_of(database, job.id, sorted(rows))
    groups = []
    for verdicts, title, meaning in GROUPS:
        told = [
            _told(bucket, audit, finding, keys)
            for finding in found
            if finding.verdict in verdicts and finding.history != "gone"
        ]
        groups.append(FindingGroup(title, meaning, tuple(told)))
    gone = tuple(_gone(finding) for finding in found if finding.history == "gone")
    groups.append(FindingGroup(*GONE, gone))
    facts = [("Audit", f"{audit.id}{_scope(audit, job.class_names)}"), ("Done", day(audit.done_at))]
    if summary.get("previous"):
        facts.append(("Compared with", f"audit {summary['previous']}"))
    limits = tuple(
        Limit(
            limit["class_name"],
            limit["images"],
            "too few images" if limit["share"] is None else f"{100 * limit['share']:.0f} %",
        )
        for limit in summary.get("limits", ())
    )
    return AuditPage(
        verdict_in_words(audit.state, summary),
        tuple(facts),
        tuple(summary.get("notes", ())),
        tuple(group for group in groups if group.findings),
        limits,
        "A repeated mark that the masks show in at least this share of a class's images, and that changes its "
        f"probability by {LIMIT_EFFECT:.2f} on average, would have been confirmed with probability .9.",
        coverage_sentence(summary) + ".",
    )


def _told(bucket: Bucket, audit: Audit, finding: AuditFinding, keys: dict[int, str]) -> ToldFinding:
    record = finding.record
    tags = [finding.history] if finding.history != "new" or (audit.summary or {}).get("previous") else []
    if finding.accepted:
        tags.append("accepted")
    if finding.dismissed:
        tags.append("dismissed")
    if finding.assignee:
        tags.append(f"for {finding.assignee}")
    remarks = [f"Before: {record['before']}"] if record.get("before") else []
    if finding.dismissed:
        remarks.append(f"Dismissed: {finding.dismissed}")
    if finding.note:
        remarks.append(f"Note: {finding.note}")
    return ToldFinding(
        finding.class_name,
        _where(record),
        finding.sentence,
        tuple(tags),
        tuple(remarks),
        tuple(_pictures(bucket, audit, finding, keys)),
        tuple(keys[row] for row in record.get("rows", ()) if row in keys),
        record.get("command", ""),
        bool(finding.dismissed),
    )


def _gone(finding: AuditFinding) -> ToldFinding:
    return ToldFinding(finding.class_name, _where(finding.record), GONE[1], ("gone",), set_aside=True)


def _where(record: dict[str, Any]) -> str:
    return str(record.get("where") or record.get("property") or "")


def _pictures(bucket: Bucket, audit: Audit, finding: AuditFinding, keys: dict[int, str]) -> list[Picture]:
    record = finding.record
    named = [
        (one["name"], f"{keys.get(one['row'], 'image')}, the place outlined", False)
        for one in record.get("pictures", ())
    ]
    if record.get("crop"):
        named.insert(0, (record["crop"], f"The crop that was pasted for {finding.class_name}", True))
    pictures = []
    for name, alt, crop in named:
        try:
            data = bucket.get(picture_key(audit, finding.id, record, name))
        except NotFound:
            data = None
        pictures.append(Picture(f"{finding.id}-{name}", alt, data, crop))
    return pictures
