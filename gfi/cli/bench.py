"""`gfi bench`: the speed of a network on a device of this machine."""

from typing import Any

import click

from gfi.cli.printing import amount, emit, json_option, long_duration, size, table

IN_A_MINUTE = 60.0
MILLION = 1_000_000


@click.command()
@click.argument("model")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:N or mps (never tested).")
@click.option(
    "--preset", "presets", multiple=True, help="Measure this preset; may be repeated. [default: every preset]"
)
@click.option(
    "--batch", type=click.IntRange(1), help="Images optimised together. [default: what fits the memory]"
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bfloat16", "tf32", "float64"]),
    help="Precision of the network.",
)
@click.option(
    "--seconds",
    default=IN_A_MINUTE,
    show_default=True,
    type=click.FloatRange(min=1),
    help="About how long to measure.",
)
@click.option(
    "--price-device-hour",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="Price of this device for an hour, to show costs. [default: GFI_PRICE_DEVICE_HOUR]",
)
@json_option
def bench(
    model: str,
    device: str,
    presets: tuple[str, ...],
    batch: int | None,
    dtype: str,
    seconds: float,
    price_device_hour: float | None,
    as_json: bool,
) -> None:
    """Measure how fast MODEL is explained on a device of this machine.

    Explains bundled photographs with each preset, with and without deletion and insertion. If a service runs on this
    machine, it keeps the rates, and `gfi estimate` then knows this network.
    """
    from gfi.cli.bench_model import bench_model, remember
    from gfi.store.settings import Settings

    settings = Settings.load()
    price = settings.price_device_hour if price_device_hour is None else price_device_hour
    measured = bench_model(
        model, settings.models, device=device, presets=presets, batch=batch, dtype=dtype, seconds=seconds
    )
    for row in measured["presets"]:
        for name in ("images_per_s", "images_per_s_with_metrics"):
            per_million = MILLION / row[name]
            row[name.replace("images_per_s", "device_seconds_per_million")] = round(per_million)
            row[name.replace("images_per_s", "usd_per_million")] = price and round(
                price * per_million / 3600, 2
            )
    measured["not_remembered"] = remember(measured)
    if as_json:
        emit(measured)
        return
    _show(measured, priced=price is not None)


def _show(measured: dict[str, Any], *, priced: bool) -> None:
    """At most 80 columns wide."""
    about = f"{measured['model']}, {measured['dtype']}, on {measured['device']}"
    click.echo(click.wrap_text(about, 80))
    rows = []
    for row in measured["presets"]:
        star = "" if row["images"] else "*"
        for metrics in ("", "_with_metrics"):
            cells = (
                "" if metrics else row["preset"],
                "" if metrics else row["batch"],
                "" if metrics else size(row["peak_bytes"]),
                "deletion, insertion" if metrics else "none",
                amount(row[f"images_per_s{metrics}"]) + star,
                long_duration(row[f"device_seconds_per_million{metrics}"]),
            )
            rows.append((*cells, amount(row[f"usd_per_million{metrics}"])) if priced else cells)
    columns = ("preset", "batch", "memory", "metrics", "images/s", "for a million")
    table("", (*columns, "USD") if priced else columns, rows, "no preset fits this network")
    for preset, reason in measured["errors"].items():
        click.echo(f"{preset}: {reason}")
    if any(not row["images"] for row in measured["presets"]):
        click.echo("* scaled from single steps: a whole batch takes longer than the time to measure")
    kept = measured["not_remembered"] or f"kept for estimates: gfi estimate --model {measured['model']}"
    click.echo(click.wrap_text(kept, 80))
