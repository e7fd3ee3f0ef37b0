"""`gfi estimate`: the plan of a job before it is submitted."""

import re
from collections.abc import Iterator
from typing import Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.job_options import job_options, options_of
from gfi.cli.open_service import open_service
from gfi.cli.printing import amount, emit, json_option, long_duration, size, span, usd

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PRICES = ("device_hour", "storage", "put", "get")


@click.command()
@job_options
@click.option("--images", type=click.IntRange(0), help="Plan for this many images instead of counting them.")
@click.option("--workers", type=click.IntRange(1), help="Say the time for this many workers.")
@click.option("--deadline", metavar="TIME", help="Say how many workers end within 90m, 8h or 2d.")
@click.option(
    "--price-device-hour", type=click.FloatRange(min=0), metavar="USD", help="Of one device for an hour."
)
@click.option("--price-storage", type=click.FloatRange(min=0), metavar="USD", help="Of a GB for a month.")
@click.option(
    "--price-put", type=click.FloatRange(min=0), metavar="USD", help="Of a thousand PUT or LIST requests."
)
@click.option("--price-get", type=click.FloatRange(min=0), metavar="USD", help="Of a thousand GET requests.")
@json_option
def estimate(
    images: int | None, workers: int | None, deadline: str | None, as_json: bool, **options: Any
) -> None:
    """Print the plan of a job: time, workers, memory, bytes and costs. Starts nothing.

    Takes the options of `gfi submit`. The time follows from rates that jobs and `gfi bench` measured; for a model that
    never ran it is a range, with the reason.
    """
    prices = {name: options.pop(f"price_{name}") for name in _PRICES}
    given = {name: price for name, price in prices.items() if price is not None}
    plan = open_service().estimate(
        options_of(options), images=images, workers=workers, deadline_s=_seconds(deadline), prices=given
    )
    if as_json:
        emit(plan)
        return
    print_plan(plan)


def print_plan(plan: dict[str, Any]) -> None:
    """Print the plan of a job for people, at most 80 columns wide."""
    if plan.get("since"):
        click.echo(click.wrap_text(plan["since"]["sentence"], 79))
        if plan["since"]["shrank"]:
            click.echo("more than half of the earlier images are gone: submit with --yes if that is meant")
    rows = list(_rows(plan))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(click.wrap_text(f"{name:{width}}  {text}", 79, "", " " * (width + 2)))
    for note in plan["notes"]:
        click.echo(click.wrap_text(f"- {note}", 79, "", "  "))


def _rows(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    at_least = "" if plan["complete"] else "at least "
    yield "images", f"{at_least}{plan['images']:,} in {plan['shards']:,} shard{'s' * (plan['shards'] != 1)}"
    if (speed := plan["speed"]) is None:
        yield "speed", "not known"
    else:
        rates = span(amount(speed["low"]), amount(speed["high"]))
        yield "speed", f"{rates} images/s and device ({speed['reason']})"
        times = (plan["device_seconds_low"], plan["device_seconds_high"])
        yield "device time", at_least + span(*map(long_duration, times))
    for row in plan["workers"]:
        workers = f"{row['workers']:,} worker" + "s" * (row["workers"] > 1)
        yield workers, at_least + span(long_duration(row["seconds_low"]), long_duration(row["seconds_high"]))
    if (needed := plan["workers_for_deadline"]) is not None:
        texts = ["no number" if number is None else f"{number:,}" for number in needed]
        yield f"within {long_duration(plan['deadline_s'])}", f"{span(*texts)} workers"
    if plan["device_usd"] is not None:
        yield "devices", f"{span(*map(amount, plan['device_usd']))} USD"
    if plan["worker_bytes"] is not None:
        yield (
            "memory",
            f"about {size(plan['worker_bytes'])} a worker on the CPU, batch {plan['worker_batch']}",
        )
    pictures = f" and {size(plan['picture_bytes'])} of pictures" if plan["picture_bytes"] else ""
    yield (
        "bucket",
        f"{size(plan['bucket_bytes'])} of parts{pictures}, {usd(plan['storage_usd_month'])} a month",
    )
    yield (
        "requests",
        f"{plan['put_requests']:,} PUT, {plan['get_requests']:,} GET, {usd(plan['request_usd'])}",
    )
    yield "database", size(plan["database_bytes"])


def _seconds(text: str | None) -> float | None:
    """The seconds of `30s`, `90m`, `8h` or `2d`. CommandError for another text."""
    if text is None:
        return None
    parts = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text)
    if parts is None or float(parts[1]) == 0:
        raise CommandError(f"--deadline {text}: write 90m, 8h or 2d")
    return float(parts[1]) * _UNITS[parts[2]]
