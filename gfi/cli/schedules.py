"""`gfi schedule`: jobs at fixed times."""

from typing import Any

import click

from gfi.cli.job_options import job_options, options_of
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when


@click.group()
def schedule() -> None:
    """Submit jobs at fixed times."""


@schedule.command("add")
@click.argument("schedule_name", metavar="NAME")  # the options of a job contain --name too
@click.option("--cron", required=True, help="minute hour day month weekday, for example `0 2 * * *`.")
@click.option("--zone", default="UTC", show_default=True, help="IANA time zone, for example Europe/Berlin.")
@job_options
def add_schedule(schedule_name: str, cron: str, zone: str, **options: Any) -> None:
    """Add a schedule: submit a job whenever a cron line is due."""
    added = open_service().add_schedule(schedule_name, cron, zone, options_of(options))
    click.echo(f"{added['name']}: next at {when(added['next_at'])}")


@schedule.command("list")
@json_option
def list_schedules(as_json: bool) -> None:
    """List schedules and when each is next due."""
    schedules = open_service().schedules()
    if as_json:
        emit(schedules)
        return
    rows = [
        (entry["name"], entry["cron"], entry["zone"], entry["request"]["dataset"], when(entry["next_at"]))
        for entry in schedules
    ]
    empty = "no schedules yet: gfi schedule add NAME --cron '0 2 * * *' --dataset …"
    table("", ("schedule", "cron", "zone", "dataset", "next"), rows, empty)


@schedule.command("rm")
@click.argument("name")
def remove_schedule(name: str) -> None:
    """Remove a schedule. The jobs that it submitted stay."""
    open_service().remove_schedule(name)
    click.echo(f"removed {name}")
