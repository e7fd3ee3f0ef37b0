"""Schedules: jobs that are submitted again and again, at the times of a cron line or at an interval.

    add_schedule(database, settings, "nightly", request, cron="0 2 * * *", zone="Europe/Berlin", actor="ada")

A firing is identified by its instant in UTC, which is unique in the ledger: any number of schedulers fire it once.
`misfire` says what follows an outage, `overlap` what happens while an earlier job of the schedule is active.

The request is stored as the user gave it. It is frozen into a configuration when it fires, so that the job uses the
model that is registered at that time. Unless the schedule is `whole`, a job explains only what is new or has changed
since the schedule's last finished job (`gfi.jobs.incremental`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from gfi.datasets.errors import DatasetError
from gfi.domain.digests import JSON
from gfi.domain.durations import parse_duration, parse_interval
from gfi.domain.errors import MethodError
from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec
from gfi.jobs.follow_ups import FOLLOW_UPS, changed_compare, checked, with_known_names
from gfi.jobs.follow_ups import shown as shown_follow_ups
from gfi.jobs.submit import Invalid, JobRequest, freeze, parent_of, request_from, spec_of
from gfi.jobs.timing import (
    MOST_MISSED,
    Misfire,
    Overlap,
    Timing,
    Trigger,
    shown,
)
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient, Unchanged
from gfi.store.settings import Settings

NEXT = 5


@dataclass(frozen=True)
class Schedule:
    """A schedule and when it is next due, in epoch seconds; None when never. upcoming: its next five firings."""

    id: str
    name: str
    cron: str
    zone: str
    every_s: float | None
    trigger: str
    misfire: str
    misfire_most: int
    overlap: str
    whole: bool
    settle_s: float
    watched: Mapping[str, Any] | None
    paused: bool
    request: Mapping[str, Any]
    follow_ups: Mapping[str, Any]
    created_at: float
    next_at: float | None
    upcoming: tuple[float, ...]


def add_schedule(
    database: Database,
    settings: Settings,
    name: str,
    cron: str | None,
    zone: str,
    request: JobRequest,
    *,
    every: str | None = None,
    actor: str,
    **options: Any,
) -> Schedule:
    """Check everything that a firing needs and store the schedule. Raises Invalid, Conflict or DatasetError.

    cron or every: a cron line, or an interval such as `6h`. options: trigger, misfire, misfire_most, overlap, whole;
    settle, an interval for the trigger `data`; audit: True or a table of settings, as in `gfi.jobs.follow_ups`.
    """
    if not name or len(name) > 100:
        raise Invalid("a schedule has a name of 1 to 100 characters")
    now = database.now()
    chosen = _checked(options)
    timing = _timing(cron, every, zone, now)
    _check_request(database, settings, request)
    _find_names(database, chosen, options, request.model)
    ledger.add_schedule(
        database,
        name,
        timing.cron,
        zone,
        request.model_dump(mode="json"),
        next_due=timing.next_due(now),
        actor=actor,
        every_s=timing.every_s,
        created_at=now,
        **chosen,
    )
    return find_schedule(database, name)


def change_schedule(
    database: Database,
    settings: Settings,
    name: str,
    *,
    actor: str,
    cron: str | None = None,
    every: str | None = None,
    zone: str | None = None,
    paused: bool | None = None,
    request: JobRequest | None = None,
    **options: Any,
) -> Schedule:
    """Change what is given. Firings that were due while it was paused, or by an earlier line, are not made up for."""
    schedule = find_schedule(database, name)
    given = {key: value for key, value in options.items() if value is not None}
    values: dict[str, Any] = _checked(given, schedule.follow_ups)
    _find_names(database, values, given, request.model if request is not None else schedule.request["model"])
    if request is not None:
        _check_request(database, settings, request)
        values["request"] = request.model_dump(mode="json")
    now = database.now()
    timing = Timing(schedule.cron, schedule.zone, schedule.every_s, schedule.created_at)
    if cron is not None or every is not None or zone is not None:
        line = cron or (schedule.cron or None if every is None else None)
        kept = every is None and cron is None and schedule.every_s is not None
        place = zone or schedule.zone
        timing = (
            Timing("", place, schedule.every_s, schedule.created_at)
            if kept
            else _timing(line, every, place, schedule.created_at)
        )
        values |= {"cron": timing.cron, "every_s": timing.every_s, "zone": timing.zone}
    if paused is not None:
        values["paused"] = paused
    if not values:
        raise Invalid("nothing to change was given")
    if paused is False or "zone" in values:
        values["next_due"] = timing.next_due(now)
    ledger.change_schedule(database, schedule.id, values, actor=actor)
    return find_schedule(database, schedule.id)


def run_now(
    database: Database, settings: Settings, name: str, *, allow_shrunk: bool = False, actor: str
) -> JSON:
    """Fire a schedule now, paused or not. Returns {job, reason}: no job while an earlier one is active, unless the
    schedule cancels that; with `queue` neither, until the firing's turn comes.

    allow_shrunk: also if the dataset lost more than half of its images.
    """
    row = _row(database, name)
    # A schedule of an earlier version may lack options that were added since.
    row["request"] = {
        **row["request"],
        "allow_shrunk": allow_shrunk or row["request"].get("allow_shrunk", False),
    }
    now = database.now()
    fired = ledger.fire(
        database,
        row["id"],
        f"now-{new_id()}",
        spec_for_firing(database, settings, row, now),
        overlap=row["overlap"],
        max_active_jobs=settings.max_active_jobs,
    )
    if fired is None:
        raise NotFound(f"no schedule {name!r}; `gfi schedule list` shows them")
    del actor
    return {"job": fired.submitted.job_id if fired.submitted else None, "reason": fired.reason}


def spec_for_firing(
    database: Database, settings: Settings, row: Mapping[str, Any], due: float
) -> JobSpec | StoreError:
    """The job of one firing, or the reason why there is none: also where what is stored cannot be read any more, such
    as a time zone that this machine does not know. Raises Transient, and Unavailable where the dataset is away."""
    try:
        request = request_from(**row["request"])
        name = request.name or f"{row['name']} {shown(due, row['zone'])}"
        request = request.model_copy(update={"name": name})
        last = queries.last_job(database, row["id"], finished=False)
        if row["trigger"] == "model" and last is not None and _same_weights(database, request, last):
            return Unchanged(f"the weights of {request.model} are those of job {last}")
        if not row["whole"] and request.since is None:
            since = queries.last_job(database, row["id"], finished=True)
            if since is not None and _may_be_parent(database, settings, request, since):
                request = request.model_copy(update={"since": since})
        if request.since is None:
            request = request.model_copy(update={"verify": 0.0, "allow_shrunk": False})
        return spec_of(database, settings, request, new=True)
    except Transient:
        raise
    except StoreError as error:
        return error
    except (DatasetError, MethodError, ValueError) as error:
        return Invalid(str(error))


def list_schedules(database: Database) -> list[Schedule]:
    """Every schedule by name, with its next instants."""
    now = database.now()
    return [_schedule(row, now) for row in queries.list_schedules(database)]


def find_schedule(database: Database, name: str) -> Schedule:
    """A schedule by name or id. Raises NotFound."""
    return _schedule(_row(database, name), database.now())


def firings_of(database: Database, name: str, limit: int = 20) -> list[JSON]:
    """The last firings of a schedule, newest first: each with its job, or with the reason why it has none, and
    with what follows the job."""
    rows = queries.list_firings(database, _row(database, name)["id"], limit)
    return [row | {"followed": shown_follow_ups(database, row["followed"])} for row in rows]


def remove_schedule(database: Database, name: str, *, actor: str) -> None:
    """Remove a schedule by name or id. Raises NotFound."""
    ledger.remove_schedule(database, name, actor=actor)


def _row(database: Database, name: str) -> JSON:
    named = [row for row in queries.list_schedules(database) if name in (row["name"], row["id"])]
    if not named:
        raise NotFound(f"no schedule {name!r}; `gfi schedule list` shows them")
    return named[0]


def _schedule(row: Mapping[str, Any], now: float) -> Schedule:
    fields = [name for name in Schedule.__dataclass_fields__ if name in row]
    upcoming: list[float] = []
    if not row["paused"]:
        try:
            upcoming = Timing.of(row).next_firings(now, NEXT)
        except ValueError:  # its zone is unknown on this machine
            upcoming = []
    return Schedule(
        **{name: row[name] for name in fields} | {"follow_ups": row["follow_ups"] or {}},
        next_at=upcoming[0] if upcoming else None,
        upcoming=tuple(upcoming),
    )


def _timing(cron: str | None, every: str | None, zone: str, start: float) -> Timing:
    if (cron is None) == (every is None):
        raise Invalid("a schedule has either a cron line or an interval")
    try:
        timing = Timing(cron or "", zone, parse_interval(every) if every is not None else None, start)
        shown(start, zone)  # the zone is used for names, also of an interval
        timing.check()
    except ValueError as error:
        raise Invalid(str(error)) from None
    return timing


def _checked(options: Mapping[str, Any], follow_ups: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Columns of a schedule. follow_ups: what follows its jobs so far."""
    allowed = {"trigger": get_args(Trigger), "misfire": get_args(Misfire), "overlap": get_args(Overlap)}
    for name, words in allowed.items():
        if name in options and options[name] not in words:
            raise Invalid(f"{name}: choose one of {', '.join(words)}, not {options[name]!r}")
    most = options.get("misfire_most", 1)
    if not 1 <= most <= MOST_MISSED:
        raise Invalid(f"misfire_most is between 1 and {MOST_MISSED}, not {most}")
    values = dict(options)
    if "settle" in values:
        settle = values.pop("settle")
        try:
            values["settle_s"] = parse_duration(settle)
        except ValueError as error:
            raise Invalid(f"settle: {error}") from None
    wanted = {name: values.pop(name) for name in FOLLOW_UPS if name in values}
    if wanted:
        if isinstance(wanted.get("compare"), Mapping):
            wanted["compare"] = changed_compare((follow_ups or {}).get("compare"), wanted["compare"])
        values["follow_ups"] = {
            **{name: settings for name, settings in (follow_ups or {}).items() if name not in wanted},
            **checked(wanted),
        }
    return values


def _find_names(database: Database, values: JSON, given: Mapping[str, Any], model_name: str) -> None:
    """Looks up what a comparison names, if one was given: an earlier one may name a job that is deleted by now."""
    if not given.get("compare"):
        return
    model = queries.find_model(database, model_name)
    classes = dict(enumerate((model.record.get("class_names") or []) if model is not None else []))
    values["follow_ups"]["compare"] = with_known_names(database, values["follow_ups"]["compare"], classes)


def _check_request(database: Database, settings: Settings, request: JobRequest) -> None:
    config = freeze(database, settings, request)
    if request.since is not None:
        parent_of(database, config, request.since)


def _same_weights(database: Database, request: JobRequest, last: str) -> bool:
    model = queries.find_model(database, request.model)
    return model is not None and model.digest == queries.get_job(database, last).config.model.digest


def _may_be_parent(database: Database, settings: Settings, request: JobRequest, since: str) -> bool:
    try:
        parent_of(database, freeze(database, settings, request), since)
    except (Invalid, NotFound):  # deleted, or the schedule explains another dataset by now
        return False
    return True
