"""docs/benchmarks.md from benchmarks/results/*.json: `make bench-page`. No number there is written by hand."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"

Rows = list[dict[str, Any]]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def interval(row: dict[str, Any], name: str) -> str:
    """.561 (+.050, +.035 to +.068)."""
    low, high = row[f"{name}_difference_ci"]
    return f"{row[name]:.3f} ({row[f'{name}_difference']:+.3f}; {low:+.3f} to {high:+.3f})"


def share(row: dict[str, Any], name: str, hit: str) -> str:
    return "" if row[name] is None else f"{row[name]:.2f}, {row[hit]:.2f}"


def quality() -> str:
    found = json.loads((RESULTS / "quality.json").read_text())
    everything: Rows = found["rows"]
    network = everything[0]["network"]  # the sample's come first
    rows = [row for row in everything if row["network"] == network]
    facts = found["facts"][network]
    columns = (
        "method",
        "fill",
        "images",
        "insertion ↑ (to Grad-CAM; 95 %)",
        "deletion ↓ (to Grad-CAM; 95 %)",
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
    once = {r["method"]: r for r in rows}
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
    return f"""## What the masks are worth

`make bench-quality`: {network}, {facts["photographs"]}, the half that did not choose the recipe. Differences are
paired, intervals are percentiles of 10,000 bootstraps over photographs. `tuned` optimises with blur and mean colour; noise and
imputation it never saw. Scores ran on {facts["scores_on"]}, masks on torch {facts["torch"]}; {machines(rows)}.

{table(columns, marks)}
Share of the mask's mass in the right cell and share of arg-maxes there, on {grids["grids"]} grids of 2×2 and {grids["grids_3"]} of
3×3 photographs; energy in box on {grids["boxes"]} shipped photographs; average drop ↓ and increase ↑.

{table(("method", "2×2", "3×3", "energy in box", "average drop", "average increase", "area"), places)}{elsewhere(everything)}
"""


def machines(rows: Rows) -> str:
    """Which methods were measured where."""
    where: dict[str, dict[str, None]] = {}
    for row in rows:
        where.setdefault(row["machine"], {})[row["method"]] = None
    if len(where) == 1:
        return next(iter(where))
    return "; ".join(f"{', '.join(methods)} on {machine}" for machine, methods in where.items())


def elsewhere(everything: Rows) -> str:
    """Networks that no choice of the recipe was made on, where they were measured."""
    rows = [
        row for row in everything if row["network"] != everything[0]["network"] and row["method"] == "tuned"
    ]
    if not rows:
        return ""

    def grids(row: dict[str, Any], suffix: str) -> str:
        if row[f"grid_pointing{suffix}"] is None:
            return ""
        pairs = [f"{interval(row, f'grid_{name}{suffix}')}" for name in ("pointing", "hit")]
        return ", ".join(pairs) + f"; {row[f'grids{suffix}']} of {row[f'grid_confidence{suffix}']:g} or more"

    lines = [
        (r["network"], r["fill"], r["images"], interval(r, "insertion"), interval(r, "deletion"))
        for r in rows
    ]
    places = [
        (r["network"], grids(r, ""), grids(r, "_3")) for r in {row["network"]: row for row in rows}.values()
    ]
    return f"""
### Trained networks that the recipe never saw

`make bench-quality ARGS="--network efficientnet-lite1"`: `tuned` there, with differences to Grad-CAM on the same network.

{table(("network", "fill", "images", "insertion ↑", "deletion ↓"), lines)}
Share of the mass in the right cell, share of arg-maxes there; grids, and how sure the network was of each photograph in them.

{table(("network", "2×2", "3×3"), places)}"""


def agreement() -> str:
    found = json.loads((RESULTS / "agreement.json").read_text())
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
        for r in found["profiles"]
    ]
    s = found["settling"]
    scores = [
        (name, s[name], s[f"{name}, change by settling"])
        for name in ("insertion blur", "insertion mean", "deletion blur", "deletion mean")
    ]
    return f"""## Is it the same picture twice?

`make bench-agreement`, {found["machine"]}, torch {found["torch"]}: the mean absolute difference of a mask between execution
profiles, against float64 in a batch of 4; over images the mean, the median, the ninth decile and the worst, and the largest single
pixel. Within one profile the difference is exactly 0 (`tests/unit/method/test_bits.py`).

{table(("preset", "profile", "images", "mean", "median", "90 %", "worst image", "worst pixel"), rows)}
`tuned` lets an image go when its mask has settled: {s["steps"]["mean"]:.1f} of {s["full_steps"]} steps on average over {s["images"]}
photographs ({s["times_fewer"]:.2f} times fewer; quartiles {s["steps"]["q25"]:.0f}, {s["steps"]["q50"]:.0f}, {s["steps"]["q75"]:.0f}).
Its masks differ from the full schedule's by {s["mask_difference"]["mean"]:.4f} on average (median {s["mask_difference"]["q50"]:.4f}, worst
{s["mask_difference"]["q100"]:.4f}); the highest quarters overlap with an IoU of {s["iou_of_the_highest_quarter"]["mean"]:.3f} (worst
{s["iou_of_the_highest_quarter"]["q0"]:.3f}).

{table(("score", "full schedule", "change by settling"), scores)}
"""


def speed() -> str:
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
    head = (
        "network",
        "device",
        "dtype",
        "batch",
        "naive/s",
        "engine/s",
        "floor/s",
        "over naive",
        "of the floor",
        "peak MiB",
    )
    house: Rows = json.loads((RESULTS / "service.json").read_text())
    kept = ", ".join(
        f"**{r['service_images_per_s']:.1f} images a second, {r['service_over_engine']:.2f} of the engine**"
        f" in batches of {r['batch']}"
        for r in house
    )
    service = house[0]
    return f"""## How fast

`make bench`: images a second at the full `paper` schedule (80 steps), beside the passes that the method cannot avoid (the floor) and a
program in the shape of the authors' (naive). Single steps are timed and scaled. **No GPU was at hand**: what the same engine does
there is not measured.

{table(head, lines)}
`make bench-service`: the whole house around a clocked engine of {service["engine_images_per_s"]:.0f} images a second, {service["images"]}
JPEGs, {service["device"]}: {kept}.
"""


def page() -> str:
    """What has been measured; a result that is not there has no section."""
    parts = {"quality.json": quality, "agreement.json": agreement, "engine.json": speed}
    sections = [write() for name, write in parts.items() if (RESULTS / name).exists()]
    head = "# Benchmarks\n\nWritten by `make bench-page` from `benchmarks/results/`.\n"
    return "\n".join([head, *sections]).rstrip() + "\n"


def main() -> None:
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
