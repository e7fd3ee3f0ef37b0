"""`gfi schedule`: jobs at fixed times."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from gfi.cli.errors import CommandError
from gfi.cli.job_options import job_options, options_of
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when
from gfi.cli.reading import read_text
from gfi.cli.service import JSON
from gfi.domain.durations import interval_words

TIMING = (
    "cron",
    "every",
    "zone",
    "trigger",
    "settle",
    "misfire",
    "misfire_most",
    "overlap",
    "whole",
    "audit",
    "compare",
    "notify",
    "keep",
)


VERDICTS = ("pass", "fail", "undecided")
"""All that a gate may say; `gfi.drift.verdicts` needs numpy."""


def _timing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `add` and `edit` have in common; none has a default, so that `edit` changes what is given."""
    for option in reversed(
        (
            click.option("--cron", help="minute hour day month weekday, for example `0 2 * * *`."),
            click.option("--every", help="An interval in place of a cron line: 90s, 15m, 6h, 1d."),
            click.option("--zone", help="IANA time zone, for example Europe/Berlin. Default: UTC."),
            click.option(
                "--on",
                "trigger",
                type=click.Choice(["time", "model", "data"]),
                help="model: submit only if the weights are others than those of the last job; data: only if the "
                "dataset's listing is another one. Default: time.",
            ),
            click.option(
                "--settle",
                help="With --on data: how long a changed listing must stay the same. Default: 60s.",
            ),
            click.option(
                "--misfire",
                type=click.Choice(["latest", "skip", "all"]),
                help="After an outage: the latest missed firing once (default), none, or all up to --misfire-most.",
            ),
            click.option(
                "--misfire-most", type=int, help="The most missed firings to make up for, with `all`."
            ),
            click.option(
                "--overlap",
                type=click.Choice(["skip", "queue", "cancel"]),
                help="While an earlier job is active: no job (default), wait for its end, or cancel it.",
            ),
            click.option(
                "--whole/--incremental",
                default=None,
                help="Explain everything each time, or what changed since the last finished job (default).",
            ),
            click.option("--audit/--no-audit", default=None, help="Audit each job once it has ended."),
            click.option(
                "--audit-class",
                "audit_classes",
                multiple=True,
                metavar="NAME",
                help="Audit each job, and test candidates of this class only.",
            ),
            click.option(
                "--compare",
                "compare_with",
                metavar="previous|JOB",
                help="Compare each job with the one before, or with this job; `none` takes it back.",
            ),
            click.option(
                "--compare-floor",
                multiple=True,
                metavar="JOB",
                help="A training run of the compared job's recipe, for the noise floor; may be repeated.",
            ),
            click.option(
                "--gate",
                "gate_path",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Judge each comparison by this file, and notify. `gfi gate init` writes one.",
            ),
            click.option(
                "--notify/--no-notify",
                default=None,
                help="Tell the jobs' --webhook and --email about audit and gate. Default with --gate.",
            ),
            click.option(
                "--keep",
                type=click.IntRange(0),
                metavar="RUNS",
                help="Keep the newest jobs with results and what something refers to; 0 keeps every job.",
            ),
        )
    ):
        command = option(command)
    return command


def _timing(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the options of the schedule out of those of its jobs; those that were not given are left out."""
    if classes := options.pop("audit_classes"):
        if options["audit"] is False:
            raise click.UsageError("--audit-class is of no use with --no-audit")
        options["audit"] = {"classes": list(classes)}
    options["compare"] = _comparison(options)
    if options["keep"] is not None:
        options["keep"] = {"runs": options["keep"]} if options["keep"] else False
    if options["notify"] is None and _has_gate(options["compare"]):
        options["notify"] = True
    return {name: value for name in TIMING if (value := options.pop(name)) is not None}


def _comparison(options: dict[str, Any]) -> bool | JSON | None:
    """The comparison that is to follow each job, from its three options, those that were given: an edit leaves the
    others as they are. None where none was given."""
    other, floor, path = (options.pop(name) for name in ("compare_with", "compare_floor", "gate_path"))
    if other is None and not floor and path is None:
        return None
    if other == "none":
        if floor or path is not None:
            raise click.UsageError("--compare none goes with neither --compare-floor nor --gate")
        return False
    comparison: JSON = {"with": other} if other is not None else {}
    if floor:
        comparison["floor"] = list(floor)
    if path is not None:
        comparison |= {"gate": read_text(path), "gate_name": str(path)}
    return comparison


@click.group()
def schedule() -> None:
    """Submit jobs at fixed times."""


@schedule.command("add")
@click.argument("schedule_name", metavar="NAME")  # the options of a job contain --name too
@_timing_options
@job_options
def add_schedule(schedule_name: str, **options: Any) -> None:
    """Add a schedule: submit a job whenever a cron line is due, or at an interval.

    Each job explains what is new or has changed since the schedule's last finished job, unless --whole.
    """
    timing = _timing(options)
    if ("cron" in timing) == ("every" in timing):
        raise click.UsageError("give either --cron or --every")
    added = open_service().add_schedule(schedule_name, timing, options_of(options))
    click.echo(f"{added['name']}: next at {when(added['next_at'])}")
    _note_nobody_told(added)


@schedule.command("edit")
@click.argument("schedule_name", metavar="NAME")
@_timing_options
def edit_schedule(schedule_name: str, **options: Any) -> None:
    """Change when a schedule fires, and what happens after an outage or while an earlier job is active."""
    changes = _timing(options)
    if not changes:
        raise click.UsageError("name what is to be changed")
    changed = open_service().change_schedule(schedule_name, changes)
    click.echo(f"{changed['name']}: {'' if changed['paused'] else 'next at '}{_next(changed)}")
    _note_nobody_told(changed)


@schedule.command("list")
@json_option
def list_schedules(as_json: bool) -> None:
    """List schedules and when each is next due."""
    schedules = open_service().schedules()
    if as_json:
        emit(schedules)
        return
    rows = [
        (entry["name"], _times(entry), entry["zone"], entry["request"]["dataset"], _next(entry))
        for entry in schedules
    ]
    empty = "no schedules yet: gfi schedule add NAME --cron '0 2 * * *' --dataset …"
    table("", ("schedule", "when", "zone", "dataset", "next"), rows, empty)


@schedule.command("show")
@click.argument("name")
@json_option
def show_schedule(name: str, as_json: bool) -> None:
    """Show a schedule, its next five firings, and what became of the last ones."""
    service = open_service()
    named = [entry for entry in service.schedules() if name in (entry["name"], entry["id"])]
    if not named:
        raise CommandError(f"no schedule {name!r}; `gfi schedule list` shows them")
    entry, firings = named[0], service.firings(name)
    if as_json:
        emit({**entry, "firings": firings})
        return
    click.echo(f"{entry['name']}: {_times(entry)} in {entry['zone']}, {entry['request']['dataset']}")
    follow_ups = [f"{name}{_settings(wanted)}" for name, wanted in entry["follow_ups"].items()]
    click.echo(
        f"after an outage: {entry['misfire']}; while a job is active: {entry['overlap']}; "
        + ("explains everything" if entry["whole"] else "since its last finished job")
        + ("; followed by: " + ", ".join(follow_ups) if follow_ups else "")
    )
    click.echo(_told(entry))
    click.echo("next: " + (", ".join(map(when, entry["upcoming"])) or _next(entry)))
    rows = [(_due(one), one["job"] or "", _state(one), _reason(one), _followed(one)) for one in firings]
    click.echo("")
    table("", ("due (UTC)", "job", "state", "why none", "followed by"), rows, "it has not fired yet")


@schedule.command("pause")
@click.argument("name")
def pause_schedule(name: str) -> None:
    """Pause a schedule: it does not fire until it is resumed."""
    click.echo(f"{open_service().change_schedule(name, {'paused': True})['name']}: paused")


@schedule.command("resume")
@click.argument("name")
def resume_schedule(name: str) -> None:
    """Resume a schedule. What was due meanwhile is not made up for."""
    resumed = open_service().change_schedule(name, {"paused": False})
    click.echo(f"{resumed['name']}: next at {when(resumed['next_at'])}")


@schedule.command("run")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Also if the dataset lost more than half of its images.")
def run_schedule(name: str, yes: bool) -> None:
    """Fire a schedule now."""
    run = open_service().run_schedule(name, yes)
    click.echo(run["job"] or run["reason"] or "waits for the end of an earlier job")


@schedule.command("rm")
@click.argument("name")
def remove_schedule(name: str) -> None:
    """Remove a schedule. The jobs that it submitted stay."""
    open_service().remove_schedule(name)
    click.echo(f"removed {name}")


def _times(entry: JSON) -> str:
    return entry["cron"] or f"every {interval_words(entry['every_s'])}"


def _addresses(entry: JSON) -> list[str]:
    """Whom the jobs of a schedule tell. The API hides the addresses; a webhook's may hold a secret, so only its host is
    shown."""
    request = entry["request"]
    told = []
    if request.get("email") or entry.get("has_email"):
        told.append(request.get("email") or "an e-mail address")
    if request.get("webhook") or entry.get("has_webhook"):
        host = urlsplit(request.get("webhook") or "").hostname
        told.append(f"a webhook at {host}" if host else "a webhook")
    return told


def _told(entry: JSON) -> str:
    addresses = _addresses(entry)
    if not addresses:
        return "tells nobody"
    notify = entry["follow_ups"].get("notify")
    followed = ", not of what followed it"
    if notify is not None:
        verdicts = notify["verdicts"]
        only = f", if the gate says {' or '.join(verdicts)}" if len(verdicts) < len(VERDICTS) else ""
        followed = f" and of what followed it{only}"
    return f"tells {' and '.join(addresses)} of each job{followed}"


def _note_nobody_told(entry: JSON) -> None:
    """Said on the spot: a gate whose verdict reaches nobody looks like one that passes."""
    if "notify" in entry["follow_ups"] and not _addresses(entry):
        name = entry["name"]
        click.echo(
            f"note: nobody is told, since the jobs of {name} have neither --email nor --webhook; "
            f"gfi schedule show {name} shows what followed each job",
            err=True,
        )


def _next(entry: JSON) -> str:
    return "paused" if entry["paused"] else when(entry["next_at"])


def _has_gate(compare: Any) -> bool:
    """Whether a comparison is judged; an empty gate file is a gate too, with every default."""
    return isinstance(compare, dict) and compare.get("gate") is not None


def _settings(wanted: JSON) -> str:
    if classes := wanted.get("classes"):
        return f" of {', '.join(classes)}"
    if "runs" in wanted:
        return f" {wanted['runs']} runs"
    if "with" in wanted:
        return f" with {wanted['with']}" + (
            f" by {wanted.get('gate_name', 'a gate')}" if _has_gate(wanted) else ""
        )
    return ""


def _followed(firing: JSON) -> str:
    """What became of the follow-ups of a firing: `audit 01K…: 1 shortcut confirmed`."""
    return ", ".join(_outcome(name, outcome) for name, outcome in firing["followed"].items())


def _outcome(name: str, outcome: JSON) -> str:
    if "messages" in outcome:
        return f"{outcome['messages']} messages"
    made = next((outcome[word] for word in ("audit", "comparison", "task") if word in outcome), None)
    said = outcome.get("verdict") or outcome.get("reason") or ""
    return f"{name} {made}: {said}" if made else f"{name}: {said}"


def _due(firing: JSON) -> str:
    """When a firing was due; of one that a person asked for, when that was."""
    if not firing["due"].startswith("now-"):
        return str(firing["due"])
    return f"{datetime.fromtimestamp(firing['at'], UTC).isoformat(timespec='seconds')} by hand"


def _state(firing: JSON) -> str:
    return firing["state"] or ("deleted" if firing["job"] else "")


def _reason(firing: JSON) -> str:
    return firing["reason"] or ("waits for an earlier job" if firing["waiting"] else "")
