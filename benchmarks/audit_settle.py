"""How much of a drawn dataset the sequential audit explains, and what it confirms: `make bench-audit-settle`.

The classifier of `gfi demo`, which was trained on images of which half of the moons had a mark, and new images: with
the mark in half of the moons, in 30 %, and without any mark. Masks are Grad-CAM's of its last layer, for the labels.
The steps are those of the service (`gfi.jobs.audits.settling`), without its storage: the first 40 images of each class
fix the candidates, instalments test them until every class is settled or no image is left.

Writes benchmarks/results/audit_settle.json: a row a run, with the share of images not explained, and for each candidate
what became of it. Rows that exist are kept, so an interrupted run continues; `--again` makes them anew.

    python -m benchmarks.audit_settle [--runs 5] [--per-class 500] [--again]
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks import planted
from benchmarks.audit import masks
from benchmarks.machine import cpu_name
from benchmarks.planted import CLASSES, SIZE, Images, Plant
from gfi.audit.audit import screen
from gfi.audit.confirmation import confirm
from gfi.audit.explained import Explained
from gfi.audit.plan import Plan, plan
from gfi.audit.sequential import Evidence, SequentialSettings, Settled
from gfi.audit.settings import FIRST_SAMPLE, AuditSettings
from gfi.audit.settling import (
    Measured,
    evidence_of,
    hosts_wanted,
    joined,
    judged,
    settings_of_instalment,
    usable,
)
from gfi.audit.split import keyed_order
from gfi.audit.verdicts import SHORTCUTS
from gfi.jobs.audits.settling import Order, hosts_of, images_of_instalment
from gfi.samples.planted import DEMO, DEMO_SEED, MODEL

RESULTS = Path(__file__).parent / "results" / "audit_settle.json"
SCENARIOS = {"mark in 50 %": DEMO, "mark in 30 %": Plant("corner", DEMO.target, 0.3), "no mark": Plant()}


def settled(images: Images, seed: int) -> dict[str, Any]:
    """One audit, from the first sample to its end."""
    net = planted.network(0)
    net.load_state_dict(load_file(MODEL.with_suffix(".safetensors")))
    net.eval().requires_grad_(False)
    settings, sequential = AuditSettings(seed=seed), SequentialSettings()
    labels = images.labels.astype(np.int64)
    boxes = {i: images.boxes[i : i + 1] / SIZE for i in range(len(labels))}
    grids = np.zeros(
        (len(labels), *masks(net, images.pixels[:1], labels[:1], "grad-cam").shape[1:]), np.float32
    )
    order = Order(labels, keyed_order([f"{i}" for i in range(len(labels))], f"secret {seed}"))
    used = np.zeros(len(labels), bool)
    used[order.first(FIRST_SAMPLE, len(CLASSES))] = True

    def explain(rows: NDArray[np.intp]) -> None:
        """Only what the audit asks for has masks."""
        grids[rows] = masks(net, images.pixels[rows], labels[rows], "grad-cam")

    def photographs(rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        return images.pixels[rows]

    def predict(shown: NDArray[np.uint8]) -> NDArray[np.float64]:
        return planted.probabilities(net, shown)

    rows = np.flatnonzero(used)
    explain(rows)
    some = Explained(
        labels[rows],
        grids[rows],
        np.ones(len(rows), bool),
        {i: boxes[int(row)] for i, row in enumerate(rows)},
        labels=labels[rows],
    )
    candidates = screen(some, len(CLASSES), lambda at: photographs(rows[at]), settings).candidates
    evidence = Evidence(np.array([c.class_index for c in candidates], np.int64), sequential)
    tested = np.zeros(len(labels), bool)
    measured: list[list[Measured]] = []
    while len(wanted := evidence.open_classes()):
        number = images_of_instalment(sequential, len(measured) + 1)
        hosts = [len(hosts_of(measured, n)) for n in range(len(candidates))]
        coming = Counter(labels[order.instalment(used, wanted.tolist(), number, 0)].tolist())
        if not coming:
            break
        beside = hosts_wanted(evidence, labels[tested], hosts, coming, settings.controls)
        fresh = np.zeros(len(labels), bool)
        fresh[order.instalment(used, wanted.tolist(), number, beside)] = True
        explain(np.flatnonzero(fresh))
        used |= fresh
        tested |= fresh
        # Images that are not explained, or fixed the candidates, are in no class, so nothing reads their masks.
        data = Explained(np.where(tested, labels, -1), grids, ~tested, boxes, labels=labels)
        most = settings_of_instalment(settings, int(np.bincount(labels[fresh]).max()))
        newest: list[Measured] = []
        for n, (candidate, state) in enumerate(zip(candidates, evidence.settled(), strict=True)):
            if state is not Settled.OPEN:
                newest.append((Plan(candidate), None))
                continue
            hosts_before = np.isin(np.arange(len(labels)), sorted(hosts_of(measured, n)))
            free = usable(data, candidate, fresh, hosts_before)
            planned = plan(candidate, free, photographs, most, candidates)
            some_seen = bool(planned.removals or planned.transplants)
            newest.append((planned, confirm(planned, photographs, predict, most) if some_seen else None))
        evidence_of(evidence, [newest])
        measured.append(newest)
    states = evidence.settled()
    joint = [joined([one[n] for one in measured] or [(Plan(c), None)], c) for n, c in enumerate(candidates)]
    found = judged(joint, evidence, settings)
    shortcuts = [CLASSES[t.plan.candidate.class_index] for t in found if t.verdict in SHORTCUTS]
    return {
        "images": len(labels),
        "explained": int(used.sum()),
        "saved": round(1 - float(used.mean()), 4),
        "instalments": len(measured),
        "candidates": len(candidates),
        **{str(state): states.count(state) for state in Settled},
        "classes_open": len(evidence.open_classes()),
        "shortcuts": shortcuts,
        "mark_found": shortcuts == [CLASSES[DEMO.target or 0]],
    }


Row = dict[str, Any]


def every_row(
    known: Sequence[Row], runs: int, per_class: int, made: Callable[[str, int], Row]
) -> Iterator[list[Row]]:
    """The rows of all scenarios in their order, with one more each time; known ones of as many images are kept.

    made: a scenario and the number of a run → its row.
    """
    there = {(row["scenario"], row["run"]): row for row in known if row["images"] == per_class * len(CLASSES)}
    wanted = [(scenario, run) for scenario in SCENARIOS for run in range(runs)]
    wanted += [key for key in there if key not in wanted]
    for key in wanted:
        if key not in there:
            there[key] = made(*key)
            yield [there[one] for one in wanted if one in there]


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--again", action="store_true", help="make rows anew that exist")
    options = parser.parse_args()

    def made(scenario: str, run: int) -> Row:
        start = time.process_time()
        images = planted.draw_images(DEMO_SEED, options.per_class, SCENARIOS[scenario], 10 + run)
        row = {"scenario": scenario, "run": run} | settled(images, run)
        row |= {"cpu_seconds": round(time.process_time() - start, 1), "machine": cpu_name()}
        print(row, flush=True)
        return row

    there = RESULTS.exists() and not options.again
    known = json.loads(RESULTS.read_text())["rows"] if there else []
    for rows in every_row(known, options.runs, options.per_class, made):
        if not options.no_write:
            RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
