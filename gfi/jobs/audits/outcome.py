"""What an audit says in the end: findings with their history, detection limits, what was tested and what was not.

The outcome is one JSON file in the bucket, from which its rows can be written again, and rows of `audits` and
`findings`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gfi.audit.findings import Finding, History, compare, of_place, of_property, of_untested
from gfi.audit.limits import limit, measured
from gfi.audit.property_words import in_words, named
from gfi.audit.sentences import limit_sentence, sentence
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import SHORTCUTS, Tested, Verdict
from gfi.jobs.audits.files import ScreenedJob, key, place_json, place_of, put_json
from gfi.jobs.audits.training import Searched
from gfi.jobs.audits.words import gallery_of
from gfi.jobs.task_run import TaskRun
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.ledger import UNTIL_SETTLED
from gfi.store.ledger.control import Write
from gfi.store.objects import Bucket
from gfi.store.queries import Audit, AuditFinding, Job

MOST_LIMITS = 50
LIMIT_EFFECT = 0.3
"""The mean change of probability of the marks that detection limits speak of."""
MOST_PROPERTIES = 20
"""Properties without a test that are listed as findings, over all classes."""


@dataclass(frozen=True)
class Outcome:
    """summary: numbers and sentences. rows: those of `findings`, in order."""

    summary: dict[str, Any]
    rows: list[dict[str, Any]]


def class_name(job: Job, index: int) -> str:
    """The name of a class, its first synonym; the index where the model has no names."""
    names = job.class_names
    return names[index].split(",")[0].strip() if index < len(names) and names[index] else str(index)


def conclude(
    database: Database,
    job: Job,
    audit: Audit,
    screened: ScreenedJob,
    tested: Sequence[Tested] | None,
    settings: AuditSettings,
    check: Callable[[], None],
    pictures: Callable[[Tested, str], dict[str, Any]] = lambda tested, finding: {},
    answers: int = 0,
    unusable: Mapping[str, int] | None = None,
    settled: Mapping[str, Any] | None = None,
    training: Searched | None = None,
) -> Outcome:
    """The outcome of an audit. tested: None where no photograph could be read.

    settled: how an audit until settled ended (`settling.settled_summary`); it has no detection limits, which hold for
    a plan of fixed size.

    training: what became of the search of training images; None where nothing was searched.

    pictures: stores the pictures of a finding under its id, and returns what its record says of them. answers: how many
    pictures the network answered for.
    """
    results: dict[int, Tested] = {}
    current: list[Finding] = []
    for one in tested or ():
        found = of_place(one, class_name(job, one.plan.candidate.class_index))
        results[len(current)] = one
        current.append(found)
    if tested is None:
        current += [of_untested(c, class_name(job, c.class_index)) for c in screened.candidates]
    images = screened.counts.images
    current += [
        of_property(p, class_name(job, p.class_index), int(images[p.class_index]))
        for p in screened.properties[:MOST_PROPERTIES]
    ]
    previous = queries.previous_audit(database, audit)
    earlier = queries.list_findings(database, previous[0].id) if previous is not None else []
    known = {finding.id for finding in earlier}
    # What people decided holds although the finding was gone in the audits between.
    earlier += [
        replace(finding, history=History.GONE.value)
        for finding in queries.decided_before(database, audit)
        if finding.id not in known
    ]
    decided = {finding.id: finding for finding in earlier}
    compared = _apart(compare([finding_of(finding) for finding in earlier], current))
    rows = []
    for number, finding in enumerate(compared):
        check()
        shown: dict[str, Any] = {}
        if number in results:
            shown = pictures(results[number], finding.id)
        rows.append(_row(finding, results.get(number), shown, screened, decided.get(finding.id), job, audit))
    summary = _summary(job, audit, screened, tested, compared, settings)
    summary["limits"] = [] if settled else _limits(job, screened, tested, settings, check)
    summary |= _changes(database, job, previous)
    summary |= {"answers": answers, "unusable_photographs": dict(unusable or {})}
    summary["settled"] = None if settled is None else dict(settled)
    if training is None and (asked := audit.options.get("training")):
        training = Searched(asked)
    summary["training"] = None if training is None else training.to_json()
    summary["notes"] = list(_notes(summary, screened, settings))
    return Outcome(summary, rows)


def _apart(found: Sequence[Finding]) -> list[Finding]:
    """Two findings of one audit never have one id: the later one's gets a number."""
    met: Counter[str] = Counter()
    out = []
    for finding in found:
        known = finding.id
        met[known] += 1
        out.append(replace(finding, known_as=known if met[known] == 1 else f"{known}-{met[known]}"))
    return out


_NUMBERS = (
    *("seen", "images", "used", "removal", "removal_lower", "transplant", "transplant_lower", "flips"),
    *("flips_lower", "p", "q", "number_tested", "more_images", "weight"),
)


def _row(
    finding: Finding,
    result: Tested | None,
    shown: dict[str, Any],
    screened: ScreenedJob,
    before: AuditFinding | None,
    job: Job,
    audit: Audit,
) -> dict[str, Any]:
    record: dict[str, Any] = {name: getattr(finding, name) for name in _NUMBERS}
    record |= {"place": place_json(finding.place), "property": finding.property_name}
    record["where"] = finding.place.words() if finding.place is not None else None
    if finding.kind == "property":
        record["where"] = named(finding.property_name)
    record |= {"beside": finding.beside, "labelled_otherwise": finding.labelled_otherwise}
    if finding.training is not None:
        record["training"] = asdict(finding.training)
    if result is not None:
        rows = screened.kept.rows
        candidate = result.plan.candidate
        record |= {
            "screen": candidate.screen,
            # Images that an earlier audit used are not among the results of this job.
            "rows": [int(rows[i]) for i in result.plan.used if i >= 0 and rows[i] >= 0],
            "outside_boxes": result.plan.outside,
            "controls_reused": result.plan.reused,
            "goes_with": [one._asdict() | {"words": in_words(one)} for one in candidate.goes_with],
        }
    if before is not None and finding.history is not History.GONE:
        record["before"] = _in_words(before)
    record |= {
        "view": gallery_of(job.id, audit.id, finding.id),
        "command": _command(job, audit, finding),
        **shown,
    }
    kept = {} if before is None else {"note": before.note, "assignee": before.assignee}
    grown = finding.history is History.GROWN
    return {
        "id": finding.id,
        "class_index": finding.class_index,
        "class_name": finding.class_name,
        "kind": finding.kind,
        "verdict": finding.verdict.value,
        "history": finding.history.value,
        "sentence": sentence(finding),
        "record": record,
        "accepted": bool(before is not None and before.accepted and not grown),
        "dismissed": finding.dismissed,
        "note": kept.get("note", ""),
        "assignee": kept.get("assignee", ""),
        "decided_by": "" if before is None else before.decided_by,
        "decided_at": None if before is None else before.decided_at,
    }


def _in_words(before: AuditFinding) -> str:
    """What the audit before said of a finding: its verdict and its prevalence."""
    seen, images = before.record["seen"], before.record["images"]
    return before.verdict.replace("_", " ") + (f", seen in {seen} of {images} images" if images else "")


def _command(job: Job, audit: Audit, finding: Finding) -> str:
    """The command that audits the class of a finding again. Empty of an audit until settled: one of its job would ask
    another question."""
    if UNTIL_SETTLED in audit.options:
        return ""
    command = f"gfi audit {job.id} --class {_quoted(finding.class_name)}"
    if audit.options.get("patch"):
        command += " --patch mark.png"
    if training := audit.options.get("training"):
        command += f" --training {training}"
    seed = audit.settings.get("seed", 0)
    return command + (f" --seed {seed}" if seed else "")


def _quoted(name: str) -> str:
    return name if name.isalnum() else "'" + name.replace("'", "'\\''") + "'"


def finding_of(row: AuditFinding) -> Finding:
    """A finding of an earlier audit, from its row."""
    record = row.record
    return Finding(
        row.class_name,
        row.kind,  # type: ignore[arg-type]  # the rows hold what `_row` wrote
        Verdict(row.verdict),
        place_of(record.get("place")),
        property_name=record.get("property", ""),
        **{name: record[name] for name in _NUMBERS},
        history=History(row.history),
        dismissed=row.dismissed,
        class_index=row.class_index,
        known_as=row.id,
    )


def _summary(
    job: Job,
    audit: Audit,
    screened: ScreenedJob,
    tested: Sequence[Tested] | None,
    found: Sequence[Finding],
    settings: AuditSettings,
) -> dict[str, Any]:
    facts = screened.facts
    current = [f for f in found if f.history is not History.GONE]
    # Of the classes with a mask in either half: one whose few images are all in the other half has too few as well.
    present = np.unique(screened.kept.data.classes)
    present = present[present >= 0]  # images that are used no more are of none
    few = present[screened.counts.images[present] < settings.fewest_images].tolist()
    return {
        **{
            name: facts[name]
            for name in ("images", "boxed", "left_out", "damaged_parts", "classes", "class_null")
        },
        "measured": facts.get("measured", 0),
        "labelled": screened.kept.data.labels is not None,
        "each_label": facts.get("each_label", False),
        "photographs": facts["photographs"],
        "photographs_reason": facts["photographs_reason"],
        "verdicts": dict(Counter(f.verdict.value for f in current)),
        "shortcuts": sum(f.is_shortcut and not f.dismissed for f in current),
        "history": dict(Counter(f.history.value for f in found)),
        "number_tested": tested[0].number_tested if tested else 0,
        "proposed": len(screened.candidates),
        "too_few": {"classes": len(few), "names": [class_name(job, k) for k in few[:10]]},
    }


def _changes(database: Database, job: Job, previous: tuple[Audit, str | None] | None) -> dict[str, Any]:
    """The previous audit, and whether its images and its model were others; None where that is not known."""
    if previous is None:
        return {"previous": None, "data_changed": None, "model_changed": None}
    audit, listing = previous
    known = listing is not None and job.listing_digest is not None
    model = queries.get_job(database, audit.job_id).config.model
    return {
        "previous": audit.id,
        "data_changed": listing != job.listing_digest if known else None,
        "model_changed": model.digest != job.config.model.digest,
    }


def _limits(
    job: Job,
    screened: ScreenedJob,
    tested: Sequence[Tested] | None,
    settings: AuditSettings,
    check: Callable[[], None],
) -> list[dict[str, Any]]:
    """The detection limits of classes without a confirmed shortcut, those of the most images first."""
    injected = measured(screened.counts, tested or [], settings)
    if injected is None or not len(injected.removal) or not len(injected.transplant):
        return []
    confirmed = {t.plan.candidate.class_index for t in tested or () if t.verdict in SHORTCUTS}
    images = screened.counts.images
    clean = [k for k in np.argsort(-images, kind="stable").tolist() if images[k] and k not in confirmed]
    data = screened.kept.data
    out = []
    for k in clean[:MOST_LIMITS]:
        check()
        confirming = int((~data.screening & (data.classes == k)).sum())
        share = limit(injected, k, confirming, settings, LIMIT_EFFECT)
        name = class_name(job, k)
        out.append(
            {
                "class_index": k,
                "class_name": name,
                "share": share,
                "images": int(images[k]) + confirming,
                "sentence": limit_sentence(name, share, int(images[k]) + confirming, LIMIT_EFFECT),
            }
        )
    return out


def _notes(summary: Mapping[str, Any], screened: ScreenedJob, s: AuditSettings) -> Any:
    """What a reader must know beside the findings, as sentences."""
    if summary["settled"]:
        yield summary["settled"]["sentence"]
        if summary["settled"].get("after"):
            yield summary["settled"]["after"]["sentence"]
    if not summary["photographs"]:
        yield (
            f"No photograph could be read ({summary['photographs_reason']}), so nothing was tested and no repeated "
            "pixels were searched for. What masks show is listed as suspected. Make the dataset readable and audit the "
            "job again."
        )
    if summary["classes"] == 1:
        yield (
            "All masks are of one class. A test pastes a place into images of other classes, so nothing could be "
            "tested. Audit a job that explains other classes too."
        )
    if not summary["class_null"]:
        yield (
            f"Fewer than {s.fewest_classes} classes have {s.fewest_images} images in the screening half: whether a "
            "class stands out among the others is undecided, and only patterns and clusters within a class were "
            "searched for."
        )
    if few := summary["too_few"]["classes"]:
        names = ", ".join(f'"{name}"' for name in summary["too_few"]["names"])
        more = " …" if few > len(summary["too_few"]["names"]) else ""
        yield (
            f"{few:,} of {summary['classes']:,} classes have too few images to say anything of them ({names}{more}): "
            f"about {s.fewest_images if summary['settled'] else 2 * s.fewest_images} images of a class are needed."
        )
    left = {**summary["left_out"]}
    if (settled := summary["settled"]) and settled.get("unlabelled"):
        yield (
            f"{settled['unlabelled']:,} of {settled['listed']:,} images have no label of the model's; each counts for "
            "the class that its mask explains."
        )
    if left:
        counted = ", ".join(f"{n:,} {status}" for status, n in sorted(left.items()))
        yield f"Results without a usable mask were left out: {counted}."
    if summary["damaged_parts"]:
        yield f"{summary['damaged_parts']:,} parts are lost or damaged; their images were left out."
    unusable = Counter(screened.facts.get("unusable_photographs") or {})
    unusable.update(summary["unusable_photographs"])
    if unusable and summary["photographs"]:
        counted = ", ".join(f"{n:,} {reason}" for reason, n in sorted(unusable.items()))
        yield f"Photographs that could not be used were left out of the tests: {counted}."
    if training := summary["training"]:
        yield from _of_training(training)
    if summary["measured"] < summary["images"]:
        yield (
            "Properties of the photographs (brightness, tint, sharpness …) were not measured for "
            f"{summary['images'] - summary['measured']:,} of {summary['images']:,} results: their parts have none."
        )
    if not summary["boxed"]:
        yield (
            "The dataset has no boxes, so no finding can be called off the object; repeated pixels are searched for."
        )
    if summary["shortcuts"] and not summary["labelled"]:
        yield (
            "No image has a label of the model's, so a mark that moves images of other classes to one looks like a "
            "shortcut of that class; labels would tell them apart."
        )
    if summary["data_changed"]:
        yield "The images are not those of the previous audit; findings are compared with it all the same."
    if summary["model_changed"]:
        yield "The model is another version than that of the previous audit; findings are compared all the same."
    if summary["photographs"] and not summary["number_tested"]:
        yield (
            "No candidate had enough images to be tested."
            if summary["proposed"]
            else "No candidate was found."
        )


def _of_training(training: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know of the search of training images."""
    if training["failed"]:
        yield (
            f"The training images of job {training['job']} could not be searched ({training['failed']}): whether a "
            "shortcut was learned from them is not known."
        )
    elif not training["wanted"]:
        yield (
            f"Nothing was looked for in the training images of job {training['job']}: no shortcut of repeated pixels "
            "was found."
        )
    elif missed := training["wanted"] - training["shortcuts"]:
        yield (
            f"The pixels of {missed} of {training['wanted']} shortcuts could not be told apart or read again, so they "
            f"were not looked for in the training images of job {training['job']}."
        )
    if training["unusable"]:
        counted = ", ".join(f"{n:,} {reason}" for reason, n in sorted(training["unusable"].items()))
        yield f"Training images that could not be used were left out: {counted}."


def commit_outcome(
    bucket: Bucket,
    run: TaskRun,
    job: Job,
    audit: Audit,
    outcome: Outcome,
    result: Mapping[str, Any],
    write: Write,
) -> bool:
    """End the task of an audit with its outcome; False, and nothing counts, where its lease is lost.

    The outcome is stored under the name of the claim, and as `audit.json` once the task is committed. A lost database
    gets its rows back from `audit.json`. Of an outcome that did not count, the file of the claim is deleted.
    """
    stored = {
        "version": 1,
        "audit": {
            name: getattr(audit, name)
            for name in (
                *("id", "job_id", "owner", "series", "secret", "settings", "settings_digest", "options"),
                *("plan", "created_at", "screened_at"),
            )
        },
        "summary": outcome.summary,
        "findings": outcome.rows,
    }
    run.check()
    at = key(job.id, audit.id, f"audit-{run.claim.name}.json")
    put_json(bucket, at, stored)
    try:
        finished = run.finish(result, write)
    except Conflict:
        bucket.delete_many([at])
        raise
    if not finished:
        if not _done(run.database, audit.id):  # the commit may have gone through, and its answer was lost
            bucket.delete_many([at])
        return False
    put_json(bucket, key(job.id, audit.id, "audit.json"), stored)
    return True


def _done(database: Database, audit_id: str) -> bool:
    try:
        return queries.get_audit(database, audit_id).done_at is not None
    except NotFound:
        return False  # deleted with its job


def write_decisions(bucket: Bucket, database: Database, audit: Audit) -> None:
    """Store `decisions.json`: what people decided about the findings of an audit."""
    decided = {
        finding.id: {
            name: asdict(finding)[name]
            for name in ("accepted", "dismissed", "note", "assignee", "decided_by", "decided_at")
        }
        for finding in queries.list_findings(database, audit.id)
        if finding.decided_at is not None
    }
    put_json(bucket, key(audit.job_id, audit.id, "decisions.json"), {"findings": decided})
