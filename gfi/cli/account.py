"""`gfi schedule`, `gfi gc`: what an operator sets up and cleans up."""

from typing import Any

import click

from gfi.cli.dataset_jobs import job_options, request_of
from gfi.cli.printing import emit, table, user, when


@click.group()
def schedule() -> None:
    """Jobs by the calendar."""


@schedule.command("add")
@click.argument("schedule_name", metavar="NAME")  # the options of a job have a --name of their own
@click.option("--cron", required=True, help="minute hour day month weekday, for example `0 2 * * *`.")
@click.option("--zone", default="UTC", show_default=True, help="IANA time zone, for example Europe/Berlin.")
@job_options
def add_schedule(schedule_name: str, cron: str, zone: str, **options: Any) -> None:
    """Submit a job at the times of a cron line."""
    from gfi.cli.stack import open_stack
    from gfi.jobs import schedules

    settings, database = open_stack()
    added = schedules.add_schedule(
        database, settings, schedule_name, cron, zone, request_of(options), actor=user()
    )
    click.echo(f"{added.name}: next at {when(added.next_at)}")


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_schedules(as_json: bool) -> None:
    """List schedules and when they are next due."""
    from gfi.cli.stack import open_stack
    from gfi.jobs import schedules

    _, database = open_stack()
    found = schedules.list_schedules(database)
    if as_json:
        emit([each.__dict__ for each in found])
        return
    rows = [(each.name, each.cron, each.zone, each.request["dataset"], when(each.next_at)) for each in found]
    table("", ("schedule", "cron", "zone", "dataset", "next"), rows,
          "no schedules yet: gfi schedule add NAME --cron '0 2 * * *' --dataset …")  # fmt: skip


@schedule.command("rm")
@click.argument("name")
def remove_schedule(name: str) -> None:
    """Remove a schedule; the jobs it started stay."""
    from gfi.cli.stack import open_stack
    from gfi.jobs import schedules

    _, database = open_stack()
    schedules.remove_schedule(database, name, actor=user())
    click.echo(f"removed {name}")


@click.command()
@click.option(
    "--delete", is_flag=True, help="Delete the orphans; without it, only say what would be deleted."
)
@click.option(
    "--older-than", default=3600.0, show_default=True, help="Seconds; younger objects are left alone."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(delete: bool, older_than: float, as_json: bool) -> None:
    """Find result files in the bucket that nothing refers to (a worker that lost its lease leaves them)."""
    from gfi.cli.stack import open_stack
    from gfi.jobs.sweep import sweep_parts
    from gfi.store.objects import Bucket

    settings, database = open_stack()
    swept = sweep_parts(database, Bucket.from_settings(settings), safe_age_s=older_than, dry_run=not delete)
    if as_json:
        emit(swept.to_json())
        return
    click.echo(
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(swept.counts.items())) or "no parts"
    )
    for key in swept.unknown:
        click.echo(f"unknown, left alone: {key}")
    if swept.counts["orphan"]:
        verb = f"deleted {swept.deleted}" if delete else f"would delete {swept.counts['orphan']}"
        click.echo(f"{verb} orphans, {swept.bytes} bytes" + ("" if delete else ": gfi gc --delete"))


COMMANDS = (schedule, gc)
