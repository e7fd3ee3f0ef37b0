"""Comparisons of models whose difference is known: `make bench-drift`.

For each seed small classifiers are trained on the procedural dataset of `benchmarks.planted`: one clean model A, three
others that differ in their initialisation and the order of images (the floor), a fifth such model, and one that learnt
a corner mark planted into every image of one class. All explain the same images, and the gate with its defaults judges.

    corner     A and the model that learnt the mark, on images of which that class has the mark
    clean      A and the fifth clean model, on clean images
    same       A and A

Masks are Grad-CAM's at the last layer (`gfi.peers`), where `tuned` starts; `--masks tuned` uses the engine. Each row is
written when it is known; rows that exist are kept, so an interrupted run continues. `--scale` measures the pairing of a
million results with a million results alone.

Writes benchmarks/results/drift.json, rows `scenario, seed, n, floor_runs, verdict, moved, lower, upper, p0, seconds`
and more: n is per class; `verdict` is that of the watched class (corner) or of the worst class (clean), `pooled`
that of all together; `judged` masks are behind `moved`, flipped images among them where `with_flips` is true; `failed`
names the checks of the gate that failed. `--table` prints the table that docs/drift.md has of them.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import planted
from benchmarks.machine import cpu_name
from benchmarks.planted import CLASSES, SIZE, Plant
from gfi.drift.comparison import Accumulator, Comparison
from gfi.drift.floors import Floor, FloorLevel, RunDistances, floor_of
from gfi.drift.gate import GateSpec
from gfi.drift.gate_verdict import judge
from gfi.drift.pairs import BOX, DRAWING, RESULTS, Counts, pair_results
from gfi.drift.sorted_tables import SortedTables
from gfi.drift.verdicts import Tolerance, Verdict, mask_verdicts, pooled_verdict, worst
from gfi.method.explainer import GuidedFeatureInversion
from gfi.peers.gradients import features_and_gradients

RESULTS_FILE = Path(__file__).parent / "results" / "drift.json"
TARGET = 3
"""The class that the mark is planted into."""
TRAINED = 300
"""Training images a class."""
EPOCHS = 9
SIZES = {"corner": (30, 100), "clean": (30, 100, 600)}
FLOOR = 3
NAMES = dict(enumerate(CLASSES))
TODAY = date(2026, 1, 1)
MEANINGS = {
    "corner": "a model that learnt a corner mark planted into one class",
    "clean": "another clean training run",
    "same": "the same model twice",
}


def masks(
    net: nn.Module, pixels: NDArray[np.uint8], classes: NDArray[np.int64], method: str
) -> NDArray[np.float32]:
    """The masks (N, h, w), each scaled to [0, 1]."""
    x, targets = planted.normalised(pixels), torch.from_numpy(classes)
    if method == "tuned":
        explainer = GuidedFeatureInversion(net, preset="tuned", batch=20)
        return np.stack([e.grid for e in explainer.explain(x, targets)]).astype(np.float32)
    features, gradients = features_and_gradients(net, x, targets, planted.LAYER, 64)
    weighted = (gradients.mean((2, 3), keepdim=True) * features).sum(1).clamp(min=0).numpy()
    most = weighted.max((1, 2), keepdims=True)
    return np.asarray(weighted / np.where(most > 0, most, 1), np.float32)


def results(net: nn.Module, images: planted.Images, method: str) -> tuple[pa.Table, float]:
    """What a job over these images stores, sorted by key; and the share predicted rightly."""
    predicted = planted.probabilities(net, images.pixels).argmax(1)
    grids = masks(net, images.pixels, images.labels, method)
    n, (h, w) = len(grids), grids.shape[1:]
    drawing = dict(zip(DRAWING, (h, w, SIZE, SIZE, 0), strict=True))
    box = dict(zip(BOX, (0.0, 0.0, float(SIZE), float(SIZE)), strict=True))
    columns: dict[str, Any] = {
        "key": [f"{number:06d}" for number in range(n)],
        "version": ["v"] * n,
        "row": np.arange(n),
        "target_rank": np.zeros(n, np.int32),
        "target": images.labels.astype(np.int32),
        "prediction": predicted.astype(np.int32),
        "status": ["ok"] * n,
        "grid": [grid.astype("<f4").tobytes() for grid in grids],
        **{name: np.full(n, value, np.int32) for name, value in drawing.items()},
        **{name: np.full(n, value) for name, value in box.items()},
    }
    return pa.table(columns, schema=RESULTS), float((predicted == images.labels).mean())


def floor_from(runs: Sequence[pa.Table]) -> Floor:
    """The floor of these training runs."""
    pairs = []
    for (first, x), (second, y) in combinations(enumerate(runs), 2):
        counts, distances = Counts(), RunDistances()
        for block in pair_results([x], [y], counts, flipped=distances.add_flipped):
            distances.add(block)
        pairs.append(distances.run_pair((f"{first}", f"{second}"), counts))
    return floor_of(FloorLevel.OTHER_TRAINING, len(runs), pairs)


def compared(a: pa.Table, b: pa.Table, floor: Floor) -> Comparison:
    """Two runs compared."""
    counts, accumulator = Counts(), Accumulator(floor, len(a))
    for block in pair_results([a], [b], counts, flipped=accumulator.add_flipped):
        accumulator.add(block)
    return accumulator.comparison(counts)


def judged(scenario: str, seed: int, n: int, a: pa.Table, b: pa.Table, floor: Floor) -> dict[str, Any]:
    """One row: the gate with its defaults on the first n images of each class."""
    start = time.perf_counter()
    made = compared(a, b, floor)
    gate = judge(GateSpec(), made, floor, names=NAMES, today=TODAY)
    verdicts = mask_verdicts(made.class_counts, made.class_counts_with_flips, floor, Tolerance())
    classes, with_flips = verdicts.classes, verdicts.with_flips
    pooled = pooled_verdict(made.moved_images, made.images, floor, Tolerance())
    failed = [check.name for check in gate.checks if check.verdict is Verdict.FAIL]
    if scenario == "corner":
        own = [one[TARGET] for one in (classes, with_flips) if TARGET in one]
        shown = next((one for one in own if one.verdict is Verdict.FAIL), own[0])
        named = any(f"class {NAMES[TARGET]}" in name for name in failed)
        verdict = Verdict.FAIL if named else shown.verdict
    else:
        shown = max(classes.values(), key=lambda c: c.share - c.p0)
        verdict = worst([c.verdict for c in classes.values()])
        if any("class" in name for name in failed):
            verdict = Verdict.FAIL
    moves = made.flipped if shown in with_flips.values() else made.classes
    return {
        "scenario": scenario,
        "seed": seed,
        "n": n,
        "floor_runs": floor.runs,
        "verdict": verdict.value,
        "moved": round(shown.share, 4),
        "lower": round(shown.lower, 4),
        "upper": round(shown.upper, 4),
        "p0": round(shown.p0, 4),
        "seconds": round(time.perf_counter() - start, 3),
        "pooled": pooled.verdict.value,
        "gate": gate.verdict.value,
        "classes": dict(Counter(c.verdict.value for c in classes.values())),
        "failed": failed,
        "judged": shown.n,
        "with_flips": shown in with_flips.values(),
        "place": moves[TARGET].place if TARGET in moves else None,
        "threshold": round(floor.threshold, 4),
        "flips": made.counts.flipped,
        "largest": made.largest,
    }


def networks(seed: int, folder: Path | None) -> tuple[list[nn.Module], nn.Module]:
    """The clean networks of a seed, and the one that learnt the mark. folder: where trained networks are kept."""
    clean = planted.draw_images(seed, TRAINED, Plant(), 0)
    # Seeds of their own for each training run.
    nets = [_trained(clean, 1000 * seed + run, folder) for run in range(2 + FLOOR)]
    marked = planted.draw_images(seed, TRAINED, Plant("corner", TARGET, 1.0), 0)
    return nets, _trained(marked, 1000 * seed + 100, folder)


def _trained(images: planted.Images, run: int, folder: Path | None) -> nn.Module:
    """The network of a training run, read from the folder if it is there."""
    file = folder / f"drift-{run}.pt" if folder is not None else None
    if file is not None and file.exists():
        net = planted.network(run).eval().requires_grad_(False)
        net.load_state_dict(torch.load(file))
        return net
    net = planted.train(images, run, EPOCHS)
    if file is not None:
        torch.save(net.state_dict(), file.with_suffix(".new"))
        file.with_suffix(".new").rename(file)
    return net


def of_seed(
    seed: int, method: str, wanted: set[tuple[str, int]], folder: Path | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of one seed that are wanted, by (scenario, n). folder: where trained networks are kept."""
    nets, shortcut = networks(seed, folder)
    for scenario, sizes in SIZES.items():
        chosen = [n for n in sizes if (scenario, n) in wanted]
        if not chosen:
            continue
        plant = Plant("corner", TARGET, 1.0) if scenario == "corner" else Plant()
        images = planted.draw_images(seed, max(chosen), plant, 1)
        judged_net = shortcut if scenario == "corner" else nets[1 + FLOOR]
        tables, right = zip(
            *(results(net, images, method) for net in (*nets[: 1 + FLOOR], judged_net)), strict=True
        )
        for n in chosen:
            *runs, b = (table.slice(0, n * len(CLASSES)) for table in tables)  # labels take turns
            floor = floor_from(runs)
            row = judged(scenario, seed, n, runs[0], b, floor)
            yield row | {"accuracy": [round(share, 3) for share in right]}
            if scenario == "clean" and n == max(sizes):
                yield judged("same", seed, n, runs[0], runs[0], floor) | {"verdict": "pass"}


def scale(pairs: int) -> dict[str, Any]:
    """Seconds and memory of pairing so many results with so many, sorting included; the streams are made beforehand."""
    import resource

    def stream(seed: int) -> Iterator[pa.Table]:
        random = np.random.default_rng(seed)
        for start in range(0, pairs, 5000):
            rows = np.arange(start, min(start + 5000, pairs))
            n = len(rows)
            # Smooth masks of two runs that mostly agree, as 14×14 grids.
            y, x = np.mgrid[:14, :14]
            where = 3 + rows[:, None] % 8 + random.normal(0, 0.5, (n, 2))
            grids = np.exp(-((y - where[:, :1, None]) ** 2 + (x - where[:, 1:, None]) ** 2) / 8).astype("<f4")
            columns = {
                "key": [f"train/photograph-{row * 7919 % pairs:09d}.jpg" for row in rows],
                "version": [f"etag-{row:032x}" for row in rows],
                "row": rows,
                "target_rank": np.zeros(n, np.int32),
                "target": (rows % 1000).astype(np.int32),
                "prediction": (rows % 1000 + (random.random(n) < 0.02)).astype(np.int32),
                "status": ["ok"] * n,
                "grid": [grid.tobytes() for grid in grids],
                **{k: np.full(n, v, np.int32) for k, v in zip(DRAWING, (14, 14, 224, 224, 0), strict=True)},
                **{k: np.full(n, v, np.float64) for k, v in zip(BOX, (0, 0, 500, 375), strict=True)},
            }
            yield pa.table(columns, schema=RESULTS)

    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as folder:
        files = []
        for seed in (1, 2):
            path = Path(made) / f"{seed}.arrow"
            with pa.ipc.new_file(path, RESULTS) as writer:
                for table in stream(seed):
                    writer.write_table(table)
            files.append(path)

        def read(path: Path) -> Iterator[pa.Table]:
            with pa.OSFile(str(path)) as file:
                reader = pa.ipc.open_file(file)
                for number in range(reader.num_record_batches):
                    yield pa.Table.from_batches([reader.get_batch(number)])

        start, cpu = time.perf_counter(), time.process_time()
        counts, accumulator = (
            Counts(),
            Accumulator(Floor(FloorLevel.OTHER_TRAINING, 2, 1, 0.8, 0.05, {}, pairs), pairs),
        )
        a, b = (SortedTables(read(path), "key", Path(folder)) for path in files)
        for block in pair_results(a, b, counts):
            accumulator.add(block)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "scenario": "scale",
        "n": pairs,
        "pairs": accumulator.comparison(counts).pairs,
        "moved": accumulator.comparison(counts).moved,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as the table of docs/drift.md: how many seeds have which verdict."""
    lines = [
        "| compared, four training runs in the floor | masks a class, before flips | seeds"
        " | the marked class, else the worst class | all classes together | the gate |",
        "|---|---|---|---|---|---|",
    ]
    for scenario, meaning in MEANINGS.items():
        for n in (30, 100, 600):
            made = [row for row in rows if row["scenario"] == scenario and row["n"] == n]
            if made:
                counts = [_counted(row[name] for row in made) for name in ("verdict", "pooled", "gate")]
                lines.append(f"| {meaning} | {n} | {len(made)} | " + " | ".join(counts) + " |")
    return "\n".join(lines) + "\n"


def _counted(verdicts: Iterable[str]) -> str:
    counts = Counter(verdicts)
    return ", ".join(f"{counts[one]} {one}" for one in ("fail", "undecided", "pass") if counts[one])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--networks", type=Path, help="a folder to keep the trained networks in")
    parser.add_argument("--masks", choices=("grad-cam", "tuned"), default="grad-cam")
    parser.add_argument("--scale", type=int, help="only pair so many synthetic results")
    parser.add_argument("--output", type=Path, default=RESULTS_FILE)
    parser.add_argument(
        "--add", nargs="*", type=Path, default=[], help="outputs whose rows replace those known"
    )
    parser.add_argument("--table", action="store_true", help="only print the table of the stored rows")
    options = parser.parse_args()
    if options.networks is not None:
        options.networks.mkdir(parents=True, exist_ok=True)
    known = json.loads(options.output.read_text()) if options.output.exists() else {"rows": []}
    rows: list[dict[str, Any]] = known["rows"]

    def write(row: dict[str, Any]) -> None:
        names = ("scenario", "seed", "n", "masks")
        rows[:] = [known for known in rows if any(known.get(name) != row.get(name) for name in names)]
        rows.append(row)
        rows.sort(key=lambda row: (row["scenario"], row["n"], row.get("masks", ""), row.get("seed", 0)))
        body = {"machine": cpu_name(), "trained_per_class": TRAINED, "rows": rows}
        options.output.write_text(json.dumps(body, indent=1) + "\n")
        print(json.dumps(row), flush=True)

    for added in options.add:
        for row in json.loads(added.read_text())["rows"]:
            write(row)
    if options.table:
        print(table(rows))
        return
    if options.scale:
        write(scale(options.scale))
        return
    for seed in range(options.first, options.first + options.seeds):
        done = {
            (row["scenario"], row["n"])
            for row in rows
            # A row without its time is incomplete, and made again.
            if row.get("seed") == seed and row.get("masks") == options.masks and "seconds" in row
        }
        wanted = {(scenario, n) for scenario, sizes in SIZES.items() for n in sizes} - done
        if wanted:
            for row in of_seed(seed, options.masks, wanted, options.networks):
                write(row | {"masks": options.masks})


if __name__ == "__main__":
    main()
