"""What follows each job of a schedule, once the job has ended: an audit.

    schedules.follow_ups   what is wanted, by name: {"audit": {"classes": [], "seed": 0}}
    firings.follow_ups     the same, frozen when the job is submitted
    firings.followed       what became of each: {"audit": {"audit": ID}}, or {"audit": {"reason": why not}}

A follow-up is a name in `FOLLOW_UPS`, with the function that checks its settings and the one that begins it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog

from gfi.domain.digests import JSON
from gfi.domain.states import JobState
from gfi.jobs.audits.request import AuditRequest, frozen
from gfi.jobs.audits.words import verdict_in_words
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient

log = structlog.get_logger(__name__)

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
            outcome = _begin(database, firing, name, settings)
            if outcome is not None:
                begun.append({"schedule": firing["name"], "job": firing["job_id"], "name": name, **outcome})
    return begun


def _begin(database: Database, firing: JSON, name: str, settings: JSON) -> Mapping[str, Any] | None:
    try:
        begin = FOLLOW_UPS[name].prepare(database, firing, settings)
    except Transient:
        raise
    except StoreError as error:
        reason = str(error)

        def begin(connection: sa.Connection) -> JSON:
            return {"reason": reason}

    if begin is None:
        return None
    return ledger.begin_follow_up(database, firing["schedule_id"], firing["firing_key"], name, begin)


def shown(database: Database, followed: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """What became of the follow-ups of a firing, for people: an audit with its state and its verdict in words."""
    out: dict[str, JSON] = {}
    for name, outcome in (followed or {}).items():
        if "audit" in outcome:
            try:
                audit = queries.get_audit(database, outcome["audit"])
            except NotFound:  # with its job
                outcome = {"reason": "deleted"}
            else:
                said = verdict_in_words(audit.state, audit.summary, audit.reason)
                outcome = {"audit": audit.id, "state": audit.state.value, "verdict": said}
        out[name] = outcome
    return out


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


FOLLOW_UPS = {"audit": FollowUp(_checked_audit, _audit)}
