"""What follows each job of a schedule, once the job has ended: an audit, a comparison with its gate, a message, and the
deletion of old jobs.

    schedules.follow_ups   what is wanted, by name: {"audit": {"classes": [], "seed": 0}}
    firings.follow_ups     the same, frozen when the job is submitted
    firings.followed       what became of each: {"audit": {"audit": ID}}, or {"audit": {"reason": why not}}

    audit     of the job
    compare   with the schedule's job before it or a named baseline; a gate on new shortcuts waits for the audit
    notify    one message to the job's webhook and e-mail, once the two above have ended
    keep      the deletion of older jobs, after all others (`gfi.jobs.retention`)

A follow-up is a name in `FOLLOW_UPS`, with the function that checks its settings and the one that begins it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog

from gfi.domain.digests import JSON
from gfi.domain.states import ControlKind, JobState, ShardState
from gfi.drift.errors import DriftError
from gfi.drift.gate import GATE, check_classes, parse_gate
from gfi.drift.verdicts import Verdict
from gfi.jobs.audits.request import AuditRequest, frozen
from gfi.jobs.audits.words import verdict_in_words
from gfi.jobs.comparison_task import comparison_payload
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient, one_line
from gfi.store.others_go_on import others_go_on

log = structlog.get_logger(__name__)

PREVIOUS = "previous"
"""Compare with the schedule's job before."""

Begin = Callable[[sa.Connection], JSON]
"""Begins a follow-up in the transaction that records what it returns; a StoreError is recorded as the reason."""


@dataclass(frozen=True)
class FollowUp:
    """check: the settings with their defaults, from what a user gave; Invalid says what is wrong. prepare: reads what
    beginning needs, from the firing (see `queries.firings_to_follow`) and the settings; None: not yet, ask again."""

    check: Callable[[Any], JSON]
    prepare: Callable[[Database, JSON, JSON], Begin | None]


def checked(wanted: Mapping[str, Any]) -> dict[str, JSON]:
    """The follow-ups of a schedule with their defaults. wanted: settings by name; True: the defaults; False or None:
    it does not follow. Raises Invalid."""
    found = {}
    for name, given in wanted.items():
        if given is None or given is False:
            continue
        found[name] = FOLLOW_UPS[name].check({} if given is True else given)
    return found


def follow(database: Database) -> list[JSON]:
    """Begin what follows the jobs of schedules that have ended. Returns what began: {schedule, job, name, …}.

    To be called about every second, by any number of schedulers: each follow-up begins once.
    """
    begun = []
    for firing in queries.firings_to_follow(database):
        for name, settings in firing["follow_ups"].items():
            if name in (firing["followed"] or {}):
                continue
            with others_go_on("follow-up not begun", job=firing["job_id"], name=name):
                outcome = _begin(database, firing, name, settings)
                if outcome is not None:
                    begun.append(
                        {"schedule": firing["name"], "job": firing["job_id"], "name": name, **outcome}
                    )
    return begun


def _begin(database: Database, firing: JSON, name: str, settings: JSON) -> Mapping[str, Any] | None:
    try:
        begin = FOLLOW_UPS[name].prepare(database, firing, settings)
    except Transient:
        raise
    except StoreError as error:
        begin = _because(str(error))
    except Exception as error:  # stored by another version, which this one cannot read
        log.exception("follow-up not begun", job=firing["job_id"], name=name)
        begin = _because(f"{type(error).__name__}: {one_line(error)}")
    if begin is None:
        return None
    return ledger.begin_follow_up(database, firing["schedule_id"], firing["firing_key"], name, begin)


def _because(reason: str) -> Begin:
    """Begins nothing, and records why."""
    return lambda connection: {"reason": reason}


def shown(database: Database, followed: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """What became of the follow-ups of a firing, for people: audits and comparisons with state and verdict in words."""
    out: dict[str, JSON] = {}
    for name, outcome in (followed or {}).items():
        try:
            if "audit" in outcome:
                audit = queries.get_audit(database, outcome["audit"])
                verdict = verdict_in_words(audit.state, audit.summary, audit.reason)
                outcome = {"audit": audit.id, "state": audit.state.value, "verdict": verdict}
            elif "comparison" in outcome:
                task = queries.get_task(database, outcome["comparison"])
                said = task.reason if task.state is ShardState.FAILED else _compared_in_words(task.result)
                outcome = {
                    "comparison": task.id,
                    "state": task.state.value,
                    "verdict": said or task.state.value,
                }
            elif "task" in outcome:
                task = queries.get_task(database, outcome["task"])
                failed = task.state is ShardState.FAILED
                verdict = (task.reason if failed else _kept_in_words(task.result)) or task.state.value
                outcome = {"task": task.id, "state": task.state.value, "verdict": verdict}
        except NotFound:  # with its job
            outcome = {"reason": "deleted"}
        out[name] = outcome
    return out


def _kept_in_words(result: JSON | None) -> str:
    if result is None:
        return ""
    held = f", {len(result['held']):,} held" if result["held"] else ""
    number = len(result["deleted"])
    return f"{number:,} old job{'' if number == 1 else 's'} deleted{held}"


def _compared_in_words(result: JSON | None) -> str:
    if result is None:
        return ""
    if result["verdict"] is not None:
        return f"gate {result['verdict']}"
    return f"{result['pairs']:,} masks compared"


_AUDIT = {"classes": [], "seed": 0}


def _checked_audit(given: Any) -> JSON:
    if not isinstance(given, Mapping) or not set(given) <= set(_AUDIT):
        raise Invalid(f"audit: true, or a table with {' and '.join(_AUDIT)}; not {str(given)[:100]}")
    settings = {**_AUDIT, **given}
    classes, seed = settings["classes"], settings["seed"]
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise Invalid("audit: classes is a list of names")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise Invalid(f"audit: the seed is a whole number from 0 to {2**31 - 1}")
    return {"classes": list(classes), "seed": seed}


def _audit(database: Database, firing: JSON, settings: JSON) -> Begin:
    job = queries.get_job(database, firing["job_id"])
    if job.state not in (JobState.SUCCEEDED, JobState.PARTIAL):
        raise Invalid(f"the job is {job.shown_state}; only results are audited")
    values = frozen(job, AuditRequest(classes=tuple(settings["classes"]), seed=settings["seed"]))

    def begin(connection: sa.Connection) -> JSON:
        return {"audit": ledger.request_audit_in(connection, job.id, owner=firing["owner"], **values)[0]}

    return begin


_COMPARE: JSON = {"with": PREVIOUS, "floor": [], "gate": None, "gate_name": GATE}


def _checked_compare(given: Any) -> JSON:
    given = {"with": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping) or not set(given) <= set(_COMPARE):
        raise Invalid(f"compare: true, or a table with {', '.join(_COMPARE)}; not {str(given)[:100]}")
    settings = {**_COMPARE, **given}
    if not isinstance(settings["with"], str) or not settings["with"]:
        raise Invalid(f"compare: with is {PREVIOUS}, or the id of a job")
    floor = settings["floor"]
    if not isinstance(floor, list | tuple) or not all(isinstance(job, str) for job in floor):
        raise Invalid("compare: floor is a list of jobs")
    if not isinstance(settings["gate_name"], str):
        raise Invalid("compare: gate_name is the name of a file")
    if settings["gate"] is not None:
        try:
            parse_gate(settings["gate"], settings["gate_name"])
        except DriftError as error:
            raise Invalid(str(error)) from None
    return {**settings, "floor": list(floor)}


def changed_compare(stored: Mapping[str, Any] | None, given: Mapping[str, Any]) -> JSON:
    """The settings of a comparison after a change: what is not given stays, but for the name of another gate's file."""
    kept = dict(stored or {})
    if "gate" in given:
        kept.pop("gate_name", None)
    return {**kept, **given}


def with_known_names(database: Database, compare: JSON, classes: Mapping[int, str]) -> JSON:
    """Checked settings of a comparison, with whole ids of jobs. classes: of the model that the schedule explains.

    Raises Invalid for a job, in the gate too, or a class that does not exist: at night nobody would see it.
    """
    gate_jobs: list[str] = []
    try:
        if compare["gate"] is not None:
            gate = parse_gate(compare["gate"], compare["gate_name"])
            check_classes(gate, classes, compare["gate_name"])
            gate_jobs = gate.floor.jobs
    except DriftError as error:
        raise Invalid(str(error)) from None
    with_ = compare["with"] if compare["with"] == PREVIOUS else _id_of(database, compare["with"], "compare")
    floor = [_id_of(database, job, "the noise floor") for job in compare["floor"]]
    for job in gate_jobs:
        _id_of(database, job, f"{compare['gate_name']}, [floor] jobs")
    return {**compare, "with": with_, "floor": floor}


def _id_of(database: Database, job_id: str, place: str) -> str:
    try:
        return queries.get_job(database, job_id).id
    except NotFound as error:
        raise Invalid(f"{place}: {error}") from None


def _compare(database: Database, firing: JSON, settings: JSON) -> Begin | None:
    gate_name = settings.get("gate_name", GATE)  # a schedule of an earlier version has none
    gate = parse_gate(settings["gate"], gate_name) if settings["gate"] is not None else None
    if gate is not None and gate.audit.no_new_shortcuts and not _ended(database, firing, "audit"):
        return None
    job = queries.get_job(database, firing["job_id"])
    if job.state not in (JobState.SUCCEEDED, JobState.PARTIAL):
        raise Invalid(f"the job is {job.shown_state}; only results are compared")
    other: str | None = settings["with"]
    if other == PREVIOUS:
        other = queries.job_before(database, firing["schedule_id"], job.id)
        if other is None:
            raise Invalid("the schedule has no earlier job with results")
    payload = comparison_payload(
        database, str(other), job.id, floor_jobs=settings["floor"], gate=settings["gate"], gate_name=gate_name
    )
    payload["schedule"] = firing["schedule_id"]

    def begin(connection: sa.Connection) -> JSON:
        task, _ = ledger.request_task_in(
            connection, ControlKind.COMPARE, payload, owner=firing["owner"], job_id=job.id
        )
        return {"comparison": task}

    return begin


_VERDICTS = tuple(verdict.value for verdict in Verdict)


def _checked_notify(given: Any) -> JSON:
    if not isinstance(given, Mapping) or not set(given) <= {"verdicts"}:
        raise Invalid(f"notify: true, or a table with verdicts; not {str(given)[:100]}")
    verdicts = given.get("verdicts", _VERDICTS)
    if not isinstance(verdicts, list | tuple) or not verdicts or not set(verdicts) <= set(_VERDICTS):
        raise Invalid(f"notify: verdicts is a list of {', '.join(_VERDICTS)}")
    return {"verdicts": list(verdicts)}


def _notify(database: Database, firing: JSON, settings: JSON) -> Begin | None:
    if not all(_ended(database, firing, name) for name in ("audit", "compare")):
        return None
    followed = firing["followed"] or {}
    told = shown(database, {name: followed[name] for name in ("audit", "compare") if name in followed})
    sentences = [
        f"{name}: {outcome.get('verdict') or outcome.get('reason')}" for name, outcome in told.items()
    ]
    verdict, comparison = None, followed.get("compare", {}).get("comparison")
    if comparison is not None:
        result = queries.get_task(database, comparison).result or {}
        verdict = result.get("verdict")
        sentences += result.get("sentences", [])
    if (firing["follow_ups"].get("compare") or {}).get("gate") is not None and verdict is None:
        verdict = Verdict.UNDECIDED.value  # the gate could not be applied; the sentences say why
    if verdict is not None and verdict not in settings["verdicts"]:
        raise Invalid(f"gate {verdict}, which is not told")
    payload = {
        "schedule": firing["name"],
        "verdict": verdict,
        "comparison": comparison,
        "audit": followed.get("audit", {}).get("audit"),
        "sentences": sentences,
    }

    def begin(connection: sa.Connection) -> JSON:
        messages = ledger.announce_followed(connection, firing["job_id"], payload)
        return {"messages": messages} if messages else {"reason": "its jobs have neither webhook nor e-mail"}

    return begin


MOST_RUNS = 100_000
_KEEP: JSON = {"runs": 30, "flagged": True}


def _checked_keep(given: Any) -> JSON:
    given = {"runs": given} if isinstance(given, int) else given
    if not isinstance(given, Mapping) or not set(given) <= set(_KEEP):
        raise Invalid(f"keep: true, or a table with {' and '.join(_KEEP)}; not {str(given)[:100]}")
    settings = {**_KEEP, **given}
    runs = settings["runs"]
    if not isinstance(runs, int) or isinstance(runs, bool) or not 1 <= runs <= MOST_RUNS:
        raise Invalid(f"keep: runs is between 1 and {MOST_RUNS:,}")
    if not isinstance(settings["flagged"], bool):
        raise Invalid("keep: flagged is true or false")
    return settings


def _keep(database: Database, firing: JSON, settings: JSON) -> Begin | None:
    """The task reads what is to be kept from the schedule, since a person may have raised it meanwhile."""
    if not all(_ended(database, firing, name) for name in ("audit", "compare", "notify")):
        return None

    def begin(connection: sa.Connection) -> JSON:
        payload = {"schedule": firing["schedule_id"]}
        return {
            "task": ledger.request_task_in(connection, ControlKind.KEEP, payload, owner=firing["owner"])[0]
        }

    return begin


def _ended(database: Database, firing: JSON, name: str) -> bool:
    """Whether a follow-up of a firing is over, or was not asked for."""
    outcome = (firing["followed"] or {}).get(name)
    if outcome is None:
        return name not in firing["follow_ups"]
    try:
        if "audit" in outcome:
            return queries.get_audit(database, outcome["audit"]).ended
        if "comparison" in outcome:
            return queries.get_task(database, outcome["comparison"]).ended
    except NotFound:  # deleted, with its job
        pass
    return True


FOLLOW_UPS = {
    "audit": FollowUp(_checked_audit, _audit),
    "compare": FollowUp(_checked_compare, _compare),
    "notify": FollowUp(_checked_notify, _notify),
    "keep": FollowUp(_checked_keep, _keep),
}
