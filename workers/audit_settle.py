"""The tests of an audit until settled: what the newest images say of its candidates, and whether more are explained.

One task tests one instalment. Each candidate's numbers are stored when they are known, so a later attempt continues
with the next one.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import confirm
from gfi.audit.plan import Plan, plan
from gfi.audit.sequential import Evidence, Settled
from gfi.audit.settings import AuditSettings
from gfi.audit.settling import Measured, evidence_of, joined, judged, settings_of_instalment, usable
from gfi.audit.verdicts import Tested
from gfi.datasets.manifest import Manifest
from gfi.domain.states import JobState
from gfi.jobs.audits import settling
from gfi.jobs.audits.files import (
    Kept,
    ScreenedJob,
    key,
    load_screened,
    put_json,
    settings_of,
    tested_json,
    tested_of,
)
from gfi.jobs.audits.outcome import class_name, conclude, write_outcome
from gfi.jobs.audits.pictures import save_pictures
from gfi.jobs.audits.reading import Reading, chunks
from gfi.jobs.audits.sample import Sample
from gfi.jobs.audits.screen import photographs_of, places_of, views_of
from gfi.jobs.audits.views import Missing, Views
from gfi.jobs.task_run import TaskRun
from gfi.store import ledger
from gfi.store.queries import Audit, Job
from workers.asked import Asked, alive
from workers.services import WorkerServices


def settle_audit(services: WorkerServices, run: TaskRun, audit: Audit, job: Job) -> str:
    """Test the candidates on the newest instalment; then end the audit, or ask for the next one."""
    screened = load_screened(services.bucket, job.id, audit.id)
    manifest = services.manifest(job.manifest_key or "", job.manifest_digest)
    asked = settling.instalments(services.bucket, audit)
    kept, reading = _explained(services, run, audit, job, manifest)
    views, _ = views_of(services.settings, job, manifest, kept, alive(run))
    number = len(asked)
    measured = [settling.effects_of(services.bucket, audit, n, screened, kept.rows) for n in range(1, number)]
    sequential = settling.sequential_settings(audit)
    classes = np.array([c.class_index for c in screened.candidates], np.int64)
    evidence = evidence_of(Evidence(classes, job.config.model.digest, sequential), measured)
    stopped = None if views is not None else "the photographs cannot be read any more"
    answers = int((audit.plan or {}).get("settling", {}).get("answers", 0))
    if views is not None:
        newest = _measured(services, run, audit, job, screened, kept, views, asked, measured, evidence)
        evidence_of(evidence, [newest])
        measured.append(newest)
        answers += int(run.progress.get("answers", 0))
    if stopped is None and job.state != JobState.RUNNING:
        stopped = f"its job is {job.shown_state}, and explains no more images"
    tested = _tested_classes(kept, asked)
    hosts = [len(settling.hosts_of(measured, n)) for n in range(len(classes))]
    wished = None
    if stopped is None:
        wished = settling.wish(audit, job, manifest, screened, evidence, asked, tested, hosts)
    if wished is not None and (stopped := settling.refusal(services.database, job, len(wished.rows))):
        wished = None
    if wished is not None:
        wished.plan["settling"]["answers"] = answers
        with TemporaryDirectory(prefix="gfi-audit-") as folder:
            add = settling.put_instalment(
                *(services.bucket, services.database, services.settings, job, manifest, wished, audit),
                folder=Path(folder),
            )
        run.check()
        result = {"audit": audit.id, "instalment": number, "settled": wished.plan["settling"]["settled"]}
        more = run.finish(result, lambda c: ledger.add_instalment(c, audit.id, wished.plan, **add))
        return f"instalment {number}: {len(wished.rows)} more images" if more else "too late"
    return _end(
        services, run, audit, job, screened, kept, reading, views, evidence, measured, answers, stopped
    )


def _explained(
    services: WorkerServices, run: TaskRun, audit: Audit, job: Job, manifest: Manifest
) -> tuple[Kept, Reading]:
    """All images that the job has explained so far; those of the first sample screened."""
    first = np.zeros(manifest.count, bool)
    first[settling.first_sample(audit, job, manifest)] = True
    sample, reading = Sample(manifest.count, audit.secret), Reading()
    for chunk in chunks(services.database, services.bucket, job, manifest, reading):
        alive(run)()
        sample.add(chunk, first[chunk.read.rows])
    return sample.kept(), reading


def _measured(
    services: WorkerServices,
    run: TaskRun,
    audit: Audit,
    job: Job,
    screened: ScreenedJob,
    kept: Kept,
    views: Views,
    asked: Sequence[Sequence[int]],
    before: Sequence[Sequence[Measured]],
    evidence: Evidence,
) -> list[Measured]:
    """What the newest instalment says of each open candidate; a candidate that is settled is not asked again."""
    number, settings = len(asked), settings_of(audit.settings)
    engine = services.engines.get(run.claim.config, job.profile)
    run.progressed()
    predict = Asked(engine, run)
    tested = np.isin(kept.rows, np.concatenate([np.array(rows, np.int64) for rows in asked]))
    fresh = np.isin(kept.rows, np.array(asked[-1], np.int64))
    planned_with = settings_of_instalment(
        settings, int(np.bincount(kept.data.classes[fresh & (kept.data.classes >= 0)]).max(initial=1))
    )
    open_classes = set(evidence.open_classes().tolist())
    states = evidence.settled()
    out: list[Measured] = []
    place = {int(row): at for at, row in enumerate(kept.rows.tolist())}
    for n, candidate in enumerate(screened.candidates):
        at = key(job.id, audit.id, f"tested-{number}-{n}.json")
        if n < int(run.progress.get("done", 0)):
            stored = tested_of(json.loads(services.bucket.get(at)), candidate)
            out.append((settling.renamed(stored[0], place), stored[1]))
            continue
        run.check()
        one: Measured = (Plan(candidate), None)
        if states[n] is Settled.OPEN and candidate.class_index in open_classes:
            hosts = settling.hosts_of(before, n)
            one, kept = _one(
                candidate, screened.candidates, kept, tested, fresh, hosts, views, predict, planned_with
            )
        put_json(services.bucket, at, tested_json(settling.renamed(one[0], kept.rows.tolist()), one[1]))
        out.append(one)
        run.save(
            lambda connection: None,
            done=n + 1,
            total=len(screened.candidates),
            answers=int(run.progress.get("answers", 0)) + predict.answered,
        )
        predict.answered = 0
    settling.put_effects(services.bucket, audit, number, out, kept.rows)
    return out


def _one(
    candidate: Candidate,
    among: Sequence[Candidate],
    kept: Kept,
    tested: NDArray[np.bool_],
    fresh: NDArray[np.bool_],
    hosts: set[int],
    views: Views,
    predict: Asked,
    settings: AuditSettings,
) -> tuple[Measured, Kept]:
    """Plan and carry out one candidate, without the images that cannot be used; also returns the rest of the images."""
    while True:
        photographs = photographs_of(views, kept)
        data = usable(kept.data, candidate, tested, fresh, hosts)
        try:
            planned = plan(candidate, data, photographs, settings, among)
            if not planned.removals and not planned.transplants:
                return (planned, None), kept
            return (planned, confirm(planned, photographs, predict, settings, predict.batch)), kept
        except Missing as missing:
            kept = kept.without(places_of(kept, missing.rows), confirming=True)


def _tested_classes(kept: Kept, asked: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    rows = np.concatenate([np.array(some, np.int64) for some in asked])
    classes = kept.data.classes[np.isin(kept.rows, rows)]
    return classes[classes >= 0]


def _end(
    services: WorkerServices,
    run: TaskRun,
    audit: Audit,
    job: Job,
    screened: ScreenedJob,
    kept: Kept,
    reading: Reading,
    views: Views | None,
    evidence: Evidence,
    measured: Sequence[Sequence[Measured]],
    answers: int,
    stopped: str | None,
) -> str:
    """Store the findings."""
    settings = settings_of(audit.settings)
    joint = [
        joined([one[n] for one in measured], candidate) for n, candidate in enumerate(screened.candidates)
    ]
    found = judged(joint, evidence, settings)
    screened.facts.update(
        images=reading.images,
        boxed=reading.boxes,
        measured=reading.measured,
        left_out=dict(reading.left_out),
        damaged_parts=reading.damaged,
        classes=len(np.unique(kept.data.classes)),
    )
    shown = replace(screened, kept=kept)
    names = {c.class_index: class_name(job, c.class_index) for c in screened.candidates}
    manifest = services.manifest(job.manifest_key or "", job.manifest_digest)
    ended = settling.settled_summary(
        shown, evidence, measured, names, manifest.count, job.total or 0, stopped
    )

    def pictures(result: Tested, finding: str) -> dict[str, object]:
        run.progressed()
        if views is None:
            return {"pictures": [], "crop": None}
        return save_pictures(services.bucket, job.id, audit.id, finding, result, kept, views)

    outcome = conclude(
        services.database,
        job,
        audit,
        shown,
        found,
        settings,
        alive(run),
        pictures,
        answers=answers,
        unusable=views.why if views is not None else None,
        settled=ended,
    )
    run.check()
    write_outcome(services.bucket, job, audit, outcome)
    finished = run.finish(
        {"audit": audit.id, "findings": len(outcome.rows), "verdicts": outcome.summary["verdicts"]},
        lambda connection: ledger.write_findings(connection, audit.id, outcome.summary, outcome.rows),
    )
    return f"{len(outcome.rows)} findings" if finished else "too late"
