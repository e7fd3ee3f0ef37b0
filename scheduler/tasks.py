"""The handlers of tasks that need no network, by kind: plan a job, collect the rows of a retry, report, sweep, screen.

A task that fails for a reason that may pass (the bucket is away) is tried again with growing pauses. One whose reason
does not pass (no such directory) ends at once, with the reason in its job. See `gfi.jobs.task_run`.
"""

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from gfi.audit.settling import judged
from gfi.audit.verdicts import Tested, Verdict
from gfi.domain.digests import JSON
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.jobs import comparison_task, exports, incremental, report, retention, sweep, task_run, watching
from gfi.jobs.audits import settling
from gfi.jobs.audits.earlier import after, load_earlier
from gfi.jobs.audits.files import ScreenedJob, save_screened, settings_of
from gfi.jobs.audits.outcome import Outcome, class_name, commit_outcome, conclude
from gfi.jobs.audits.screen import Stores, manifest_of, screen_job
from gfi.jobs.task_run import Handler, TaskLease, TaskRun
from gfi.store import ledger, queries
from gfi.store.part_cache import PartCache
from scheduler import planning
from scheduler.services import ControlServices


def perform(
    services: ControlServices, claim: ControlClaim, stop: threading.Event, lease: TaskLease | None = None
) -> str:
    """Do one claimed task. Returns the outcome; an expected fault is recorded, not raised."""
    return task_run.perform(services, TaskRun(services.database, claim, stop, lease), HANDLERS)


def _plan(services: ControlServices, run: TaskRun) -> str:
    return planning.plan(services, run.claim, run.check)


def _plan_retry(services: ControlServices, run: TaskRun) -> str:
    return planning.plan_retry(services, run.claim, run.check)


def _report(services: ControlServices, run: TaskRun) -> str:
    """At the end of a job: write committed.json and summary.json."""
    assert run.claim.job_id is not None
    report.write_committed(services.database, services.bucket, run.claim.job_id)
    run.check()
    read = PartCache(services.database, services.bucket).part
    ledger.settle_masks(services.database, run.claim.job_id, read, run.check)
    ledger.merge_sums(services.database, run.claim.job_id)
    job = queries.get_job(services.database, run.claim.job_id)
    verified = incremental.verification(services.database, services.bucket, job)
    if verified is not None:
        run.save(lambda connection: ledger.save_fact(connection, job.id, "verified", verified))
    summed = report.write_summary(services.database, services.bucket, run.claim.job_id)
    ledger.request_orders(services.database, run.claim.job_id)
    return "written" if run.finish({"images": summed.total}) else "too late"


def _order(services: ControlServices, run: TaskRun) -> str:
    """Sort the results of a large job by each number, for its gallery."""
    assert run.claim.job_id is not None
    sorted_ = ledger.write_orders(services.database, run.claim.job_id, run.check)
    if not sorted_:
        return "others were committed" if run.finish({"results": 0}) else "too late"
    return f"{sorted_} results sorted" if run.finish({"results": sorted_}) else "too late"


def _list_parts(services: ControlServices, run: TaskRun) -> str:
    """Every thousand parts: write committed.json, and merge the sums of their commits."""
    assert run.claim.job_id is not None
    ledger.merge_sums(services.database, run.claim.job_id)
    listed = report.write_committed(services.database, services.bucket, run.claim.job_id)
    return f"{listed} parts listed" if run.finish({"parts": listed}) else "too late"


def _sweep(services: ControlServices, run: TaskRun) -> str:
    """Delete what deleted jobs have left in the tables and in the bucket, and orphaned parts; ask for missing orders.

    Orders are missing of jobs that were cancelled, and of those that ended under an earlier version.
    """
    ledger.delete_leftovers(services.database, run.check)
    ledger.request_orders(services.database)
    swept = sweep.sweep_parts(
        services.database, services.bucket, safe_age_s=sweep.SAFE_AGE_S, dry_run=False, check=run.check
    )
    swept.job_files = sweep.sweep_jobs(services.database, services.bucket, dry_run=False, check=run.check)
    swept.model_files = sweep.sweep_models(services.database, services.bucket, dry_run=False)
    run.finish(swept.to_json())
    return f"{swept.deleted} orphans deleted"


def _look(services: ControlServices, run: TaskRun) -> str:
    """List the dataset of a schedule, and fire it if the listing has changed and settled."""

    def check() -> None:
        run.check()
        run.progressed()

    schedule = str(run.claim.payload["schedule"])
    seen, write = watching.look(services.database, services.settings, schedule, check)
    return str(seen["outcome"]) if run.finish(seen, write) else "too late"


def _keep(services: ControlServices, run: TaskRun) -> str:
    """Delete the jobs that a schedule no longer keeps, but for those that something refers to."""

    def check() -> None:
        run.check()
        run.progressed()

    schedule = str(run.claim.payload["schedule"])
    retained = retention.delete_old_jobs(
        services.database, services.bucket, schedule_id=schedule, check=check
    )
    run.finish(retained.to_json())
    return f"{len(retained.deleted)} jobs deleted"


def _compare(services: ControlServices, run: TaskRun) -> str:
    """Compare two jobs, and judge by a gate; the result is an object of the bucket."""
    result = comparison_task.compare(services.database, services.bucket, run.claim, run.check)
    return "compared" if run.finish(result) else "too late"


def _export(services: ControlServices, run: TaskRun) -> str:
    """Write results in a format of other tools into the bucket."""
    made = exports.export_job(services.database, services.settings, services.bucket, run)
    return "too late" if made is None else f"{made['results']} results exported"


def _screen(services: ControlServices, run: TaskRun) -> str:
    """Screen a job for an audit. Where nothing can be tested, the audit ends here."""
    audit = queries.get_audit(services.database, str(run.claim.payload["audit"]))
    job = queries.get_job(services.database, audit.job_id)

    def progressed(images: int) -> None:
        run.progressed(done=images, total=job.total)

    def check() -> None:
        run.check()
        run.progressed()

    stores = Stores(services.settings, services.database, services.bucket)
    screened = screen_job(stores, job, audit, check, progressed)
    facts = screened.facts
    plan = {name: facts[name] for name in ("candidates", "answers", "estimate_s", "photographs")}
    settling_now = ledger.UNTIL_SETTLED in audit.options
    goes_on = after(audit) is not None  # then there is something to tell without photographs
    if screened.candidates and (facts["photographs"] or goes_on):
        save_screened(services.bucket, audit, run.claim.name, screened)
        plan["stored"] = {"screened": run.claim.name}
        run.check()
        if settling_now:
            return _first_instalment(services, run, audit, job, screened, plan)
        confirm = not audit.options.get("dry_run")
        done = run.finish(
            plan, lambda c: ledger.write_screened(c, audit.id, run.claim.task_id, plan, confirm)
        )
        return f"{len(screened.candidates)} candidates" if done else "too late"
    tested: list[Tested] | None = [] if facts["photographs"] else None
    settled = _untested(services, audit, job, screened) if settling_now else None
    outcome = conclude(
        services.database, job, audit, screened, tested, settings_of(audit.settings), check, settled=settled
    )
    return _end_untested(services, run, audit, job, plan, outcome, "nothing to test")


def _end_untested(
    services: ControlServices,
    run: TaskRun,
    audit: queries.Audit,
    job: queries.Job,
    plan: JSON,
    outcome: Outcome,
    why: str,
) -> str:
    """The audit ends with its screening."""

    def write(connection: sa.Connection) -> None:
        ledger.write_screened(connection, audit.id, run.claim.task_id, plan, False)
        ledger.write_findings(connection, audit.id, run.claim.task_id, outcome.summary, outcome.rows)

    return why if commit_outcome(services.bucket, run, job, audit, outcome, plan, write) else "too late"


def _untested(
    services: ControlServices, audit: queries.Audit, job: queries.Job, screened: ScreenedJob
) -> JSON:
    """How an audit until settled ends that can test nothing."""
    why = "no photograph could be read" if not screened.facts["photographs"] else "no candidate was found"
    with manifest_of(services.bucket, job) as manifest:
        earlier, ended = (
            load_earlier(services.bucket, audit, manifest),
            settling.Decision([], {}, why),
        )
        evidence = earlier.evidence(screened.candidates, settling.sequential_settings(audit))
        joint = earlier.joint(screened.candidates, [])
        names = {c.class_index: class_name(job, c.class_index) for c in screened.candidates}
        return settling.settled_summary(
            screened, evidence, joint, names, manifest.count, job.total or 0, ended, earlier
        )


def _first_instalment(
    services: ControlServices,
    run: TaskRun,
    audit: queries.Audit,
    job: queries.Job,
    screened: ScreenedJob,
    plan: JSON,
) -> str:
    """The candidates of an audit until settled are fixed: explain the first images that test them."""
    with manifest_of(services.bucket, job) as manifest, TemporaryDirectory(prefix="gfi-audit-") as folder:
        audit = dataclasses.replace(audit, plan=plan)
        earlier = load_earlier(services.bucket, audit, manifest)
        evidence = earlier.evidence(screened.candidates, settling.sequential_settings(audit))
        nothing = settling.Instalments.none(screened, earlier)
        decision = settling.Decision([], {}, "no photograph could be read")
        if screened.facts["photographs"]:
            decision = settling.decide(services.database, audit, job, manifest, screened, evidence, nothing)
        if not decision.goes_on:
            joint = earlier.joint(screened.candidates, [])
            names = {c.class_index: class_name(job, c.class_index) for c in screened.candidates}
            ended = settling.settled_summary(
                screened, evidence, joint, names, manifest.count, job.total or 0, decision, earlier
            )
            tests = settings_of(audit.settings)
            told = [
                one
                for one in judged(joint, evidence, tests, decision.without_hosts)
                if one.verdict is Verdict.UNDECIDED or one.plan.candidate in earlier.candidates
            ]
            shown = dataclasses.replace(screened, kept=settling.told_rows(screened, earlier))
            outcome = conclude(services.database, job, audit, shown, told, tests, run.check, settled=ended)
            return _end_untested(
                services, run, audit, job, plan, outcome, decision.stopped or "no images to test"
            )
        asked = settling.put_instalment(
            *(services.bucket, services.database, services.settings, job, manifest, decision, audit),
            claim=run.claim,
            folder=Path(folder),
        )
    run.check()
    done = run.finish(plan, lambda c: ledger.add_instalment(c, audit.id, run.claim.task_id, **asked))
    number = len(screened.candidates)
    return f"{len(decision.rows)} images to test {number} candidates" if done else "too late"


HANDLERS: Mapping[str, Handler[ControlServices]] = {
    ControlKind.PLAN: _plan,
    ControlKind.RETRY: _plan_retry,
    ControlKind.REPORT: _report,
    ControlKind.LIST: _list_parts,
    ControlKind.ORDER: _order,
    ControlKind.COMPARE: _compare,
    ControlKind.EXPORT: _export,
    ControlKind.SWEEP: _sweep,
    ControlKind.KEEP: _keep,
    ControlKind.LOOK: _look,
    ControlKind.SCREEN: _screen,
}
