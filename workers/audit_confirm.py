"""The confirmation task of an audit: asks the network what its candidates do, and stores the findings.

Each candidate's numbers are stored when they are known, so a later attempt continues with the next one. An image that
changed since it was explained, or cannot be read any more, is used no more and counted.
"""

import json
from collections.abc import Sequence

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import Effects, confirm
from gfi.audit.plan import Plan, plan
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import Tested, judge, too_few
from gfi.jobs.audits.files import Kept, key, load_screened, put_json, settings_of, tested_json, tested_of
from gfi.jobs.audits.outcome import Outcome, commit_outcome, conclude
from gfi.jobs.audits.pictures import save_pictures
from gfi.jobs.audits.screen import photographs_of, places_of, views_of
from gfi.jobs.audits.training import search_training_images
from gfi.jobs.audits.views import Missing, Views
from gfi.jobs.task_run import TaskRun
from gfi.store import ledger, queries
from workers.asked import Asked, alive
from workers.audit_settle import settle_audit
from workers.services import WorkerServices


def confirm_audit(services: WorkerServices, run: TaskRun) -> str:
    """Test the candidates of an audit, judge them, and store the findings."""
    audit = queries.get_audit(services.database, str(run.claim.payload["audit"]))
    job = queries.get_job(services.database, audit.job_id)
    if ledger.UNTIL_SETTLED in audit.options:
        return settle_audit(services, run, audit, job)
    settings = settings_of(audit.settings)
    screened = load_screened(services.bucket, audit)
    manifest = services.manifest(job.manifest_key or "", job.manifest_digest)
    views, reason = views_of(services.settings, job, manifest, screened.kept, alive(run))
    if views is None:
        screened.facts.update(photographs=False, photographs_reason=reason)
        return _finish(
            services, run, conclude(services.database, job, audit, screened, None, settings, alive(run))
        )
    engine = services.engines.get(run.claim.config, job.profile)
    run.progressed()
    kept = screened.kept
    done: list[tuple[Plan, Effects | None]] = []
    asked = Asked(engine, run, each_label=job.config.each_label)
    for number, candidate in enumerate(screened.candidates):
        files = run.progress.get("files", [])
        if number < len(files):
            stored = services.bucket.get(key(job.id, audit.id, files[number]))
            done.append(tested_of(json.loads(stored), candidate))
            continue
        run.check()
        planned, effects, kept = tested(candidate, screened.candidates, kept, views, asked, settings)
        name = f"tested-{number}-{run.claim.name}.json"
        put_json(services.bucket, key(job.id, audit.id, name), tested_json(planned, effects))
        done.append((planned, effects))
        run.save(
            lambda connection: None,
            done=number + 1,
            total=len(screened.candidates),
            files=[*files, name],
            answers=int(run.progress.get("answers", 0)) + asked.answered,
        )
        asked.answered = 0
    judged = judge([p for p, _ in done], [e for _, e in done], settings)
    searched = None
    if audit.options.get("training"):
        judged, searched = search_training_images(
            services.settings,
            services.database,
            lambda training: services.manifest(training.manifest_key or "", training.manifest_digest),
            audit,
            job,
            judged,
            kept,
            views,
            settings,
            alive(run),
        )

    def pictures(result: Tested, finding: str) -> dict[str, object]:
        run.progressed()
        return save_pictures(services.bucket, audit, run.claim.name, finding, result, screened.kept, views)

    outcome = conclude(
        services.database,
        job,
        audit,
        screened,
        judged,
        settings,
        alive(run),
        pictures,
        answers=int(run.progress.get("answers", 0)),
        unusable=views.why,
        training=searched,
    )
    return _finish(services, run, outcome)


def _finish(services: WorkerServices, run: TaskRun, outcome: Outcome) -> str:
    audit = queries.get_audit(services.database, str(run.claim.payload["audit"]))
    job = queries.get_job(services.database, audit.job_id)
    finished = commit_outcome(
        services.bucket,
        run,
        job,
        audit,
        outcome,
        {"audit": audit.id, "findings": len(outcome.rows), "verdicts": outcome.summary["verdicts"]},
        lambda connection: ledger.write_findings(
            connection, audit.id, run.claim.task_id, outcome.summary, outcome.rows
        ),
    )
    return f"{len(outcome.rows)} findings" if finished else "too late"


def tested(
    candidate: Candidate,
    among: Sequence[Candidate],
    kept: Kept,
    views: Views,
    asked: Asked,
    settings: AuditSettings,
) -> tuple[Plan, Effects | None, Kept]:
    """Plan and carry out one candidate, without the images that cannot be used; also returns the rest of the images."""
    while True:
        photographs = photographs_of(views, kept)
        try:
            planned = plan(candidate, kept.data, photographs, settings, among)
            if too_few(planned, settings):
                return planned, None, kept
            effects = confirm(planned, photographs, asked, settings, asked.batch, asked.thresholds)
            return planned, effects, kept
        except Missing as missing:
            kept = kept.without(places_of(kept, missing.rows), confirming=True)
