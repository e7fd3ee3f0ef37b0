"""Writes docs/benchmarks.md from benchmarks/results/*.json: `make bench-page`. No number on the page is written by
hand."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"

Rows = list[dict[str, Any]]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def interval(row: dict[str, Any], name: str) -> str:
    """A score with its difference from Grad-CAM and the interval of the difference: 0.561 (+0.050; +0.035 to
    +0.068)."""
    low, high = row[f"{name}_difference_ci"]
    return f"{row[name]:.3f} ({row[f'{name}_difference']:+.3f}; {low:+.3f} to {high:+.3f})"


def share(row: dict[str, Any], name: str, hit: str) -> str:
    """Share of the mass and of arg-maxes in the right cell; empty if no grid was evaluated."""
    return "" if row[name] is None else f"{row[name]:.2f}, {row[hit]:.2f}"


def quality() -> str:
    """The section on scores, from quality.json."""
    results = json.loads((RESULTS / "quality.json").read_text())
    everything: Rows = results["rows"]
    network = everything[0]["network"]  # rows of the sample network come first
    rows = [row for row in everything if row["network"] == network]
    metadata = results["facts"][network]
    columns = (
        "method",
        "fill",
        "images",
        "insertion ↑ (difference to Grad-CAM; 95 % interval)",
        "deletion ↓ (difference to Grad-CAM; 95 % interval)",
    )
    marks = [
        (
            r["method"],
            r["fill"],
            r["images"],
            f"{r['insertion']:.3f}" if r["method"] == "grad-cam" else interval(r, "insertion"),
            f"{r['deletion']:.3f}" if r["method"] == "grad-cam" else interval(r, "deletion"),
        )
        for r in rows
    ]
    methods = dict.fromkeys(r["method"] for r in rows)
    once = {m: max((r for r in rows if r["method"] == m), key=lambda r: r["grids"]) for m in methods}
    places = [
        (
            m,
            share(r, "grid_pointing", "grid_hit"),
            share(r, "grid_pointing_3", "grid_hit_3"),
            r["energy_in_box"] if r["energy_in_box"] is not None else "",
            r["average_drop"],
            r["average_increase"],
            r["area"],
        )
        for m, r in once.items()
    ]
    grids = once["grad-cam"]
    return f"""## How good the masks are

`make bench-quality`: {network}, {metadata["photographs"]}; these photographs were not used to choose the recipe. Differences are
paired, intervals are percentiles of 10,000 bootstraps over photographs. `tuned` optimises with blur and mean colour; it never uses
noise, imputation or another photograph. Scores ran on {metadata["scores_on"]}, masks on torch {metadata["torch"]}; {machines(rows)}.
{power(rows)}

{table(columns, marks)}
2×2 and 3×3: share of the mask's mass in the right cell and share of arg-maxes there, on {grids["grids"]} grids of 2×2 and {grids["grids_3"]} of 3×3
photographs. Energy in box: on {grids["boxes"]} shipped photographs. Average drop: lower is better; average increase: higher is better.

{table(("method", "2×2", "3×3", "energy in box", "average drop", "average increase", "area"), places)}{elsewhere(everything)}
"""


POWER = (1.96 + 0.84) / (2 * 1.96)
"""A true difference of this share of the width of a 95 % interval has an interval that excludes 0 in four of five
samples: 1.96 standard errors for the interval and 0.84 for the four fifths."""


def power(rows: Rows) -> str:
    """The smallest differences of `tuned` that this many photographs show."""
    tuned = [row for row in rows if row["method"] == "tuned"]
    most = max(row["images"] for row in tuned)
    widths = {
        name: [
            high - low
            for low, high in (row[f"{name}_difference_ci"] for row in tuned if row["images"] == most)
        ]
        for name in ("insertion", "deletion")
    }
    smallest = {name: POWER * sum(values) / len(values) for name, values in widths.items()}
    return (
        f"With {most} photographs a true difference of {smallest['insertion']:.3f} in insertion, or {smallest['deletion']:.3f} in"
        " deletion, is shown in four of five samples, on average over the fills; smaller ones need more photographs."
    )


def powers(rows: Rows) -> str:
    """The smallest difference of `tuned` in insertion that the photographs of each network show."""
    said = []
    for row in rows:
        if row["method"] == "tuned":
            low, high = row["insertion_difference_ci"]
            said.append(f"{POWER * (high - low):.3f} on {row['network']} ({row['images']} photographs)")
    return ", ".join(said)


def machines(rows: Rows) -> str:
    """The machine on which each method was measured."""
    where: dict[str, dict[str, None]] = {}
    for row in rows:
        where.setdefault(row["machine"], {})[row["method"]] = None
    if len(where) == 1:
        return next(iter(where))
    return "; ".join(f"{', '.join(methods)} on {machine}" for machine, methods in where.items())


def elsewhere(everything: Rows) -> str:
    """The networks that were not used to choose the recipe; empty if none was measured."""
    rows = [
        row
        for row in everything
        if row["network"] != everything[0]["network"]
        and (row["method"] in ("tuned", "paper") or row["fill"] == "photograph")
        and row["method"] != "grad-cam"
    ]
    if not rows:
        return ""

    def grids(row: dict[str, Any], suffix: str) -> str:
        if row[f"grid_pointing{suffix}"] is None:
            return ""
        pairs = [f"{interval(row, f'grid_{name}{suffix}')}" for name in ("pointing", "hit")]
        return ", ".join(pairs) + f"; {row[f'grids{suffix}']} of {row[f'grid_confidence{suffix}']:g} or more"

    lines = [
        (r["network"], r["method"], r["fill"], r["images"], interval(r, "insertion"), interval(r, "deletion"))
        for r in rows
    ]
    places = [
        (r["network"], grids(r, ""), grids(r, "_3"))
        for r in {row["network"]: row for row in rows if row["method"] == "tuned" and row["grids"]}.values()
    ]
    return f"""
### Trained networks that were not used to choose the recipe

`make bench-quality ARGS="--network efficientnet-lite1"`: `tuned` and `paper` on such networks, with differences to Grad-CAM on the same
network; with another photograph as the fill other methods too. With that fill a true difference of `tuned` in insertion is shown in four of
five samples if it is {powers([row for row in everything if row["fill"] == "photograph"])}.

{table(("network", "method", "fill", "images", "insertion ↑", "deletion ↓"), lines)}
Share of the mass in the right cell and share of arg-maxes there; number of grids, and the lowest confidence of a photograph in them.

{table(("network", "2×2", "3×3"), places)}"""


def status() -> str:
    """The section on the status `target_lost`, from status.json."""
    rows: Rows = json.loads((RESULTS / "status.json").read_text())["rows"]
    lines = [
        (r["network"], r["masks"], r["images"], r["target_lost"], r["target_lost_in_0_1"], r["median_lead"])
        for r in rows
    ]
    head = ("network", "masks", "number", "share `target_lost`", "share by the rule of 0.1.0", "median lead")
    return f"""## The status `target_lost`

`make bench-status`: which masks hold the target no better than their shifted copies ([what that means](method.md#when-a-mask-means-little)).
Random masks have the area of the masks of `tuned`: their cells in random order, or their values in the order of smooth noise on 4×4 and
7×7 cells.

{table(head, lines)}
"""


def agreement() -> str:
    """The section on differences between execution profiles, from agreement.json."""
    results = json.loads((RESULTS / "agreement.json").read_text())
    rows = [
        (
            r["preset"],
            r["profile"],
            r["images"],
            r["mask_difference"]["mean"],
            r["mask_difference"]["q50"],
            r["mask_difference"]["q90"],
            r["mask_difference"]["q100"],
            r["largest_pixel"],
        )
        for r in results["profiles"]
    ]
    s = results["settling"]
    scores = [
        (name, s[name], s[f"{name}, change by settling"])
        for name in ("insertion blur", "insertion mean", "deletion blur", "deletion mean")
    ]
    return f"""## How much masks differ between execution profiles

`make bench-agreement`, {results["machine"]}, torch {results["torch"]}: the mean absolute difference between the masks of an execution profile
and those in float64 in batches of 4; over images the mean, the median, the ninth decile and the largest, and the largest difference of
a single pixel. Within one profile the difference is exactly 0 (`tests/unit/method/test_pool.py`).

{table(("preset", "profile", "images", "mean", "median", "90 %", "largest of an image", "largest of a pixel"), rows)}
`tuned` stops optimising an image when its mask has settled: after {s["steps"]["mean"]:.1f} of {s["full_steps"]} steps on average over {s["images"]}
photographs ({s["times_fewer"]:.2f} times fewer; quartiles {s["steps"]["q25"]:.0f}, {s["steps"]["q50"]:.0f}, {s["steps"]["q75"]:.0f}).
Its masks differ from those of the full schedule by {s["mask_difference"]["mean"]:.4f} on average (median {s["mask_difference"]["q50"]:.4f}, at most
{s["mask_difference"]["q100"]:.4f}); the highest quarters overlap with an IoU of {s["iou_of_the_highest_quarter"]["mean"]:.3f} (at least
{s["iou_of_the_highest_quarter"]["q0"]:.3f}).

{table(("score", "full schedule", "change by settling"), scores)}
"""


def speed() -> str:
    """The section on the engine's throughput, from engine.json."""
    rows: Rows = json.loads((RESULTS / "engine.json").read_text())
    lines = [
        (
            r["network"],
            r["device"],
            r["dtype"],
            r["batch"],
            r["naive_images_per_s"],
            r["engine_images_per_s"],
            r["floor_images_per_s"],
            f"{r['engine_over_naive']:.2f}",
            f"{r['engine_over_floor']:.2f}",
            r["peak_mib"],
        )
        for r in rows
    ]
    per_million = [
        (
            r["network"],
            *(
                f"{rate:.3g} ({1 / rate:,.3g})"
                for alone in (r["engine_images_per_s"], r["tuned_images_per_s"], r["grad_cam_images_per_s"])
                for rate in (alone, 1 / (1 / alone + r["scores_s"]))
            ),
            f"{r['scores_over_floor']:.2f}",
        )
        for r in rows
    ]
    kinds = ("paper", "tuned", "Grad-CAM")
    titles = [f"{kind}{and_scores}" for kind in kinds for and_scores in ("", ", scored")]
    scored = f"""
The same networks, images a second (in brackets: million seconds of this device for a million images) of `paper`, of `tuned` on bundled
photographs and of Grad-CAM; *scored*: with deletion and insertion of every mask. *Scores / bound*: the seconds of the two scores' 58 forward
passes alone, by those of the scores; above 1 where masked photographs take less time than the noise of the bound.

{table(("network", *titles, "scores / bound"), per_million)}
"""
    head = (
        "network",
        "device",
        "dtype",
        "batch",
        "naive/s",
        "engine/s",
        "bound/s",
        "engine / naive",
        "engine / bound",
        "peak MiB",
    )
    on_cpu = all(row["device"].endswith("threads)") for row in rows)
    no_gpu = (
        " **No GPU was available**: the engine's throughput on one has not been measured." if on_cpu else ""
    )
    return f"""## Throughput of the engine

`make bench`: images a second with the full `paper` schedule (80 steps). *Bound* is the throughput at the theoretical lower bound of the
time: only the forward and backward passes that the method cannot avoid. *Naive* is an implementation in the structure of the authors'
program. Single steps are timed and scaled.{no_gpu}

{table(head, lines)}
{scored}"""


def overhead() -> str:
    """The section on the service's overhead, from service.json."""
    service: Rows = json.loads((RESULTS / "service.json").read_text())
    rates = ", ".join(
        f"**{r['service_images_per_s']:.1f} images a second, {r['service_over_engine']:.2f} of the engine's rate**,"
        f" in batches of {r['batch']}"
        for r in service
    )
    first = service[0]
    return f"""## Overhead of the service

`make bench-service`: the complete pipeline with an engine of a fixed rate of {first["engine_images_per_s"]:.0f} images a second, {first["images"]} JPEGs,
{first["device"]}: {rates}.
"""


def parity() -> str:
    """The section on `released` and the authors' loop, from parity.json."""
    results = json.loads((RESULTS / "parity.json").read_text())
    facts = results["facts"]
    lines = [
        (
            r["photograph"],
            r["steps"],
            *(f"{r[f'{what}_{p}']:.1e}" for p in PRECISIONS for what in ("mask", "kept")),
        )
        for r in results["rows"]
    ]
    columns = (
        "photograph",
        "steps",
        *(f"{what}, {p}" for p in PRECISIONS for what in ("mask", "kept probability")),
    )
    return f"""## `released` and the authors' loop

`make bench-parity`, {facts["network"]}, {facts["machine"]}: the largest difference of a pixel of the mask, and that of the kept probability,
between the engine and a port of the authors' loop in float64 that shares no code with it. Goal in float64: {facts["goal"]:.0e}.

{table(columns, lines)}
"""


PRECISIONS = ("float64", "float32")
"""Of the engine, in parity.json."""


def page() -> str:
    """The page: a section for each file of results that exists."""
    parts = {
        "quality.json": quality,
        "status.json": status,
        "agreement.json": agreement,
        "parity.json": parity,
        "engine.json": speed,
        "service.json": overhead,
    }
    sections = [write() for name, write in parts.items() if (RESULTS / name).exists()]
    head = "# Benchmarks\n\nWritten by `make bench-page` from `benchmarks/results/`.\n"
    return "\n".join([head, *sections]).rstrip() + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
