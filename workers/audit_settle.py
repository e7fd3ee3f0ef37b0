"""The tests of an audit until settled: what the newest images say of its candidates, and whether more are explained.

One task tests one instalment. Each candidate's numbers are stored when they are known, so a later attempt continues
with the next one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import confirm
from gfi.audit.plan import Plan, plan
from gfi.audit.sequential import Evidence, Settled
from gfi.audit.settings import AuditSettings
from gfi.audit.settling import Measured, evidence_of, judged, settings_of_instalment, usable
from gfi.audit.verdicts import Tested
from gfi.datasets.manifest import Manifest
from gfi.domain.states import JobState
from gfi.jobs.audits import settling
from gfi.jobs.audits.earlier import Earlier, load_earlier
from gfi.jobs.audits.files import (
    Kept,
    ScreenedJob,
    key,
    load_screened,
    put_json,
    renamed,
    settings_of,
    tested_json,
    tested_of,
)
from gfi.jobs.audits.outcome import class_name, commit_outcome, conclude
from gfi.jobs.audits.pictures import save_pictures
from gfi.jobs.audits.reading import Reading, chunks
from gfi.jobs.audits.sample import Sample, per_class
from gfi.jobs.audits.screen import photographs_of, places_of, views_of
from gfi.jobs.audits.views import Missing, Views
from gfi.jobs.task_run import TaskRun
from gfi.store import ledger
from gfi.store.queries import Audit, Job
from workers.asked import Asked, alive
from workers.services import WorkerServices


def settle_audit(services: WorkerServices, run: TaskRun, audit: Audit, job: Job) -> str:
    """Test the candidates on the newest instalment; then end the audit, or ask for the next one."""
    screened = load_screened(services.bucket, audit)
    manifest = services.manifest(job.manifest_key or "", job.manifest_digest)
    asked = settling.instalments(services.bucket, audit)
    earlier = load_earlier(services.bucket, audit, manifest)
    first = settling.first_sample(audit, job, manifest, earlier.used)
    so_far, counted = _explained(
        services, run, audit, job, manifest, asked, first if earlier.candidates else []
    )
    views, _ = views_of(services.settings, job, manifest, so_far, alive(run))
    measured = settling.effects_of(services.bucket, audit, screened)
    sequential = settling.sequential_settings(audit)
    evidence = evidence_of(earlier.evidence(screened.candidates, sequential), measured)
    at = (audit.plan or {}).get("settling") or {}
    stopped = at.get("refused") or (None if views is not None else "the photographs cannot be read any more")
    answers, effects = int(at.get("answers", 0)), None
    if views is not None and stopped is None:
        may_use = Uses(asked, len(earlier.candidates), first)
        newest = _measured(services, run, audit, job, screened, so_far, views, may_use, measured, evidence)
        evidence_of(evidence, [newest])
        measured.append(newest)
        effects = settling.put_effects(services.bucket, audit, run.claim, len(asked), newest)
        answers += int(run.progress.get("answers", 0))
    if stopped is None and job.state is JobState.CANCELLED:
        stopped = "its job was cancelled, and explains no more images"
    decision = settling.Decision([], {}, stopped)
    if stopped is None:
        known = settling.Instalments(asked, so_far, measured, earlier)
        decision = settling.decide(services.database, audit, job, manifest, screened, evidence, known)
    if decision.goes_on:
        decision.plan["settling"]["answers"] = answers
        with TemporaryDirectory(prefix="gfi-audit-") as folder:
            add = settling.put_instalment(
                *(services.bucket, services.database, services.settings, job, manifest, decision, audit),
                claim=run.claim,
                folder=Path(folder),
                effects=effects,
            )
        run.check()
        result = {
            "audit": audit.id,
            "instalment": len(asked),
            "settled": decision.plan["settling"]["settled"],
        }
        more = run.finish(result, lambda c: ledger.add_instalment(c, audit.id, run.claim.task_id, **add))
        return f"instalment {len(asked)}: {len(decision.rows)} more images" if more else "too late"
    plan = settling.with_effects(audit.plan or {}, audit, effects)
    plan["stored"]["whole"] = True
    return _end(
        *(
            services,
            run,
            replace(audit, plan=plan),
            job,
            manifest,
            screened,
            counted,
            views,
            evidence,
            earlier,
        ),
        measured,
        answers,
        decision,
    )


@dataclass(frozen=True)
class Uses:
    """Which images may test a candidate. asked: the rows of the instalments. earlier: how many candidates, the first
    ones, come from an earlier audit; first: the rows of the first sample, which fixed the others."""

    asked: Sequence[Sequence[int]]
    earlier: int
    first: NDArray[np.intp]

    def fresh(self, candidate: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these images are new to the candidate: those of the newest instalment, and with the first one those
        of the first sample to candidates that were fixed before it."""
        also = self.first if candidate < self.earlier and len(self.asked) == 1 else self.first[:0]
        return np.isin(rows, np.concatenate([np.array(self.asked[-1], np.int64), also]))

    def screened(self, candidate: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these images fixed the candidate, and test it in no way."""
        return np.isin(rows, self.first if candidate >= self.earlier else self.first[:0])


@dataclass
class Counted:
    """What was read of all images that the job explained so far, in memory only as numbers."""

    reading: Reading
    classes: set[int]


def _explained(
    services: WorkerServices,
    run: TaskRun,
    audit: Audit,
    job: Job,
    manifest: Manifest,
    asked: Sequence[Sequence[int]],
    first: Sequence[int] | NDArray[np.intp],
) -> tuple[Kept, Counted]:
    """The images that may be used now: the newest instalment, and of the earlier ones the first few hundred of each
    class, as hosts and control crops.

    first: the first sample, where candidates of an earlier audit are tested on it; it fixed the others, and tests none
    of them.
    """
    tested, newest = np.zeros(manifest.count, bool), np.zeros(manifest.count, bool)
    for instalment in (first, *asked):
        tested[list(instalment)] = True
    newest[list(asked[-1])] = True
    if len(asked) == 1:
        newest[list(first)] = True
    classes = int((job.model or {}).get("classes") or len(job.class_names))
    kept_per_class = settings_of(audit.settings).kept_per_class
    sample, counted = Sample(per_class(classes, kept_per_class), audit.secret), Counted(Reading(), set())
    for chunk in chunks(services.database, services.bucket, job, manifest, counted.reading):
        alive(run)()
        counted.classes |= set(chunk.read.classes.tolist())
        rows = chunk.read.rows
        sample.add(chunk, np.zeros(len(rows), bool), among=tested[rows], always=newest[rows])
    return sample.kept(), counted


def _measured(
    services: WorkerServices,
    run: TaskRun,
    audit: Audit,
    job: Job,
    screened: ScreenedJob,
    kept: Kept,
    views: Views,
    uses: Uses,
    before: Sequence[Sequence[Measured]],
    evidence: Evidence,
) -> list[Measured]:
    """What the newest instalment says of each open candidate; a candidate that is settled is not asked again.

    The images of what is returned are rows of the manifest.
    """
    settings = settings_of(audit.settings)
    engine = services.engines.get(run.claim.config, job.profile)
    run.progressed()
    predict = Asked(engine, run)
    states = evidence.settled()
    out: list[Measured] = []
    for n, candidate in enumerate(screened.candidates):
        done = run.progress.get("files", [])
        if n < len(done):
            out.append(tested_of(json.loads(services.bucket.get(key(job.id, audit.id, done[n]))), candidate))
            continue
        run.check()
        one: Measured = (Plan(candidate), None)
        if states[n] is Settled.OPEN:
            fresh = uses.fresh(n, kept.rows)
            hosts = np.isin(kept.rows, sorted(settling.hosts_of(before, n))) | uses.screened(n, kept.rows)
            classes = kept.data.classes[fresh & (kept.data.classes >= 0)]
            planned_with = settings_of_instalment(settings, int(np.bincount(classes).max(initial=1)))
            found, kept = _one(
                candidate, screened.candidates, kept, fresh, hosts, views, predict, planned_with
            )
            one = (renamed(found[0], kept.rows.tolist().__getitem__), found[1])
        name = f"tested-{len(uses.asked)}-{n}-{run.claim.name}.json"
        put_json(services.bucket, key(job.id, audit.id, name), tested_json(*one))
        out.append(one)
        run.save(
            lambda connection: None,
            done=n + 1,
            total=len(screened.candidates),
            files=[*done, name],
            answers=int(run.progress.get("answers", 0)) + predict.answered,
        )
        predict.answered = 0
    return out


def _one(
    candidate: Candidate,
    among: Sequence[Candidate],
    kept: Kept,
    fresh: NDArray[np.bool_],
    hosts: NDArray[np.bool_],
    views: Views,
    predict: Asked,
    settings: AuditSettings,
) -> tuple[Measured, Kept]:
    """Plan and carry out one candidate, without the images that cannot be used; also returns the rest of the images."""
    while True:
        photographs = photographs_of(views, kept)
        data = usable(kept.data, candidate, fresh, hosts)
        try:
            planned = plan(candidate, data, photographs, settings, among)
            if not planned.removals and not planned.transplants:
                return (planned, None), kept
            return (planned, confirm(planned, photographs, predict, settings, predict.batch)), kept
        except Missing as missing:
            kept = kept.without(places_of(kept, missing.rows), confirming=True)


def _end(
    services: WorkerServices,
    run: TaskRun,
    audit: Audit,
    job: Job,
    manifest: Manifest,
    screened: ScreenedJob,
    counted: Counted,
    views: Views | None,
    evidence: Evidence,
    earlier: Earlier,
    measured: Sequence[Sequence[Measured]],
    answers: int,
    decision: settling.Decision,
) -> str:
    """Store the findings."""
    settings, reading = settings_of(audit.settings), counted.reading
    joint = earlier.joint(screened.candidates, measured)
    found = judged(joint, evidence, settings, decision.without_hosts)
    screened.facts.update(
        images=reading.images,
        boxed=reading.boxes,
        measured=reading.measured,
        left_out=dict(reading.left_out),
        damaged_parts=reading.damaged,
        classes=len(counted.classes),
    )
    # The images of what was measured are rows of the manifest already.
    every = Kept(np.arange(manifest.count), screened.kept.data)
    shown = replace(screened, kept=settling.told_rows(screened, earlier))
    names = {c.class_index: class_name(job, c.class_index) for c in screened.candidates}
    unlabelled = int((settling.Order.of(manifest, audit.secret).classes < 0).sum())
    ended = settling.settled_summary(
        *(shown, evidence, joint, names, manifest.count, job.total or 0, decision, earlier),
        instalments=len(measured),
        unlabelled=unlabelled,
    )

    def pictures(result: Tested, finding: str) -> dict[str, object]:
        run.progressed()
        if views is None:
            return {"pictures": [], "crop": None}
        record = save_pictures(services.bucket, audit, run.claim.name, finding, result, every, views)
        for one in record["pictures"]:
            if earlier.used[one["row"]]:  # another job explained it
                one["row"] = None
        return record

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
    finished = commit_outcome(
        services.bucket,
        run,
        job,
        audit,
        outcome,
        {"audit": audit.id, "findings": len(outcome.rows), "verdicts": outcome.summary["verdicts"]},
        lambda connection: ledger.write_findings(
            connection, audit.id, run.claim.task_id, outcome.summary, outcome.rows, audit.plan
        ),
    )
    return f"{len(outcome.rows)} findings" if finished else "too late"
