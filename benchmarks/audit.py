"""The audit on datasets whose truth is known: `make bench-audit`.

For each seed and scenario a small classifier is trained on a procedural dataset (`benchmarks.planted`), 100 other
images a class are explained, and the audit runs on the masks.

    clean            nothing is planted
    corner 1, .5, .3 a mark at the top left in a share of the images of one class
    everywhere       the mark in half of the images of every class
    afterwards       the clean classifier; the mark only in the audited images of one class
    moving           the mark at another place in each image, in half of a class
    two              two marks at once, in two corners, in half of a class
    tint, blur       a colour cast or a blur in half of a class; no mask can show it

Masks are Grad-CAM's at the last layer (`gfi.peers`), which is where `tuned` starts: `tuned` took .09 s an image on this
network, 90 s a dataset, and the whole would be 75 minutes. `--masks tuned` uses the engine.

`afterwards` and `corner .3` are also judged with the training images given, in which the pixels of shortcuts are looked
for: rows with `training`. The first mark is in none of them, the second in 60 of the class's 200.

Without boxes the planted mark must be called a repeated mark, with boxes an off-object shortcut. `--resamples N`: N
subsamples and N relabellings of the clean dataset a seed. The rows of a network are written when they are known; rows
that exist are kept, so an interrupted run continues.

    python -m benchmarks.audit [--seeds 5] [--first 0] [--processes 2] [--resamples N] [--masks grad-cam|tuned]
                               [--networks FOLDER] [--output FILE]
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import audit_peers, planted
from benchmarks.audit_page import summary, write_page
from benchmarks.audit_scenarios import CLEAN, SCENARIOS, TARGET, Scenario
from benchmarks.machine import cpu_name
from benchmarks.planted import CLASSES, SIZE, Images, Plant
from gfi.audit.audit import screen, test
from gfi.audit.bounds import share_lower_bound
from gfi.audit.explained import Explained
from gfi.audit.limits import limit, measured
from gfi.audit.properties import ClassMeans, PropertyCandidate
from gfi.audit.settings import AuditSettings
from gfi.audit.split import in_screening_half
from gfi.audit.training_images import has_pattern, repeated_pattern, search
from gfi.audit.verdicts import SHORTCUTS, Tested, Verdict, after_training_images, repeats
from gfi.domain.pixel_properties import pixel_properties
from gfi.method.explainer import GuidedFeatureInversion
from gfi.peers.gradients import features_and_gradients

RESULTS = Path(__file__).parent / "results" / "audit.json"


def masks(
    net: nn.Module, pixels: NDArray[np.uint8], classes: NDArray[np.int64], method: str
) -> NDArray[np.float32]:
    """The masks (N, h, w) of images for their classes."""
    x, targets = planted.normalised(pixels), torch.from_numpy(classes)
    if method == "tuned":
        explainer = GuidedFeatureInversion(net, preset="tuned", batch=20)
        return np.stack([e.grid for e in explainer.explain(x, targets)]).astype(np.float32)
    features, gradients = features_and_gradients(net, x, targets, planted.LAYER, 64)
    weighted = (gradients.mean((2, 3), keepdim=True) * features).sum(1).clamp(min=0)
    return weighted.numpy().astype(np.float32)


@dataclass(frozen=True)
class Audited:
    """What one audit said: the tested candidates, S5's properties, and what the rows need of its inputs."""

    images: Images
    tested: list[Tested]
    properties: list[PropertyCandidate]
    data: Explained
    limit: float | None
    seconds: float


def audited(
    net: nn.Module, images: Images, data: Explained, settings: AuditSettings, with_limit: bool = False
) -> Audited:
    """Run the audit; seconds without masks."""
    start = time.perf_counter()

    def photographs(rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        return images.pixels[rows]

    def predict(shown: NDArray[np.uint8]) -> NDArray[np.float64]:
        return planted.probabilities(net, shown)

    found = screen(data, len(CLASSES), photographs, settings)
    tested = test(found.candidates, data, photographs, predict, settings)
    means = ClassMeans(len(CLASSES))
    half = data.screening
    means.add(pixel_properties(images.pixels[half]), data.classes[half])
    seconds = time.perf_counter() - start
    least = None
    if with_limit and (m := measured(found.counts[0], tested, settings)) is not None:
        least = limit(m, TARGET, int((~half & (data.classes == TARGET)).sum()), settings)
    return Audited(images, tested, means.screen() or [], data, least, seconds)


def explained(
    net: nn.Module, images: Images, seed: int, boxes: bool, method: str, salt: str = ""
) -> Explained:
    """Predicted classes, masks and halves of images."""
    classes = planted.probabilities(net, images.pixels).argmax(1).astype(np.int64)
    halves = in_screening_half([f"{i}" for i in range(len(classes))], f"{seed}{salt}")
    of = {i: images.boxes[i : i + 1] / SIZE for i in range(len(classes))} if boxes else None
    return Explained(classes, masks(net, images.pixels, classes, method), halves, of, labels=images.labels)


def on_mark(result: Tested, images: Images, share: float = 0.5) -> bool:
    """Whether the places removed lie on what was planted: most of them cover `share` of a mark."""
    hits = 0
    for r in result.plan.removals:
        top, bottom, left, right = r.place.pixels((SIZE, SIZE))
        for x, y in images.marks.get(r.image, ()):
            across = min(right, x + planted.MARK) - max(left, x)
            down = min(bottom, y + planted.MARK) - max(top, y)
            if across > 0 and down > 0 and across * down >= share * planted.MARK**2:
                hits += 1
                break
    return 2 * hits > len(result.plan.removals) > 0


def class_score(results: list[Tested], k: int) -> float:
    """How much speaks for a shortcut in class k: effect × prevalence × (off the object or repeated)."""
    best = 0.0
    for r in results:
        if r.plan.candidate.class_index != k or r.effects is None:
            continue
        same = r.effects.same_pixels
        repeated = (
            0.0
            if same is None
            else share_lower_bound(same.repeated, same.crops) - same.foreign / max(same.others, 1)
        )
        certain = 1 - r.q
        best = max(
            best,
            certain * max(r.effect_lower, 0) * r.prevalence * max(repeated, float(r.plan.outside or False)),
        )
    return best


def marks_found(results: list[Tested], images: Images) -> int:
    """How many of the fixed marks are on a confirmed shortcut's place."""
    shortcuts = [r for r in results if r.verdict in SHORTCUTS and r.plan.candidate.class_index == TARGET]
    corners = set()
    for r in shortcuts:
        for removal in r.plan.removals[:1]:
            top, bottom, left, right = removal.place.pixels((SIZE, SIZE))
            for which, (x, y) in enumerate(planted.CORNERS):
                across = min(right, x + planted.MARK) - max(left, x)
                down = min(bottom, y + planted.MARK) - max(top, y)
                if across > 0 and down > 0 and 2 * across * down >= planted.MARK**2:
                    corners.add(which)
    return len(corners)


def row(scenario: Scenario, seed: int, boxes: bool, a: Audited, extra: dict[str, Any]) -> dict[str, Any]:
    """One row of audit.json."""
    is_planted = scenario.trained.kind in ("corner", "moving", "two") and scenario.trained.target is not None
    shortcuts = [r for r in a.tested if r.verdict in SHORTCUTS]
    right = [
        r for r in a.tested if is_planted and r.plan.candidate.class_index == TARGET and on_mark(r, a.images)
    ]
    first = a.tested[0] if a.tested else None
    best = min(right, key=lambda r: (r.verdict not in SHORTCUTS, r.p)) if right else None
    named = [f"{p.name} {'+' if p.z > 0 else '-'}" for p in a.properties if p.class_index == TARGET]
    wrong = [
        r
        for r in shortcuts
        if not (is_planted and r.plan.candidate.class_index == TARGET and on_mark(r, a.images, 0.1))
    ]
    return {
        "scenario": scenario.name,
        "share": scenario.share,
        "seed": seed,
        "classes": len(CLASSES),
        "boxes": boxes,
        "first": bool(first is not None and first in right and first.verdict in SHORTCUTS),
        "right_place": bool(right),
        "kind": best.verdict.value if best else "",
        "confirmed": bool(best and best.verdict in SHORTCUTS),
        "marks_found": marks_found(a.tested, a.images),
        "false_shortcuts": len(wrong),
        "false_classes": [int(r.plan.candidate.class_index) for r in wrong],
        "relies_on": sum(r.verdict is Verdict.RELIES_ON for r in a.tested),
        "tested": a.tested[0].number_tested if a.tested else 0,
        "p": best.p if best else 1.0,
        "q": best.q if best else 1.0,
        "effect_lower": round(best.effect_lower, 4) if best else 0.0,
        "properties": named,
        "property_classes": sorted({p.class_index for p in a.properties}),
        "scores": [round(class_score(a.tested, k), 6) for k in range(len(CLASSES))],
        "limit": a.limit,
        "seconds": round(a.seconds, 1),
        **extra,
    }


def with_training_images(
    scenario: Scenario, seed: int, a: Audited, settings: AuditSettings, per_class: int = 200
) -> tuple[Audited, list[dict[str, Any]]]:
    """The audit once the training images were searched for its shortcuts, and what was found of each.

    marked: training images of the class with the true mark. without: those of the clean twin in which the search finds
    the pixels, though they have no mark.
    """
    start = time.perf_counter()
    taught, twin = (planted.draw_images(seed, per_class, plant, 0) for plant in (scenario.trained, CLEAN))
    searched, said = {}, []
    for at, one in enumerate(a.tested):
        if one.verdict not in SHORTCUTS or one.effects is None or not repeats(one.effects, settings):
            continue
        pattern = repeated_pattern(one.plan, lambda rows: a.images.pixels[rows], settings)
        if pattern is None:
            continue
        mine = taught.labels == one.plan.candidate.class_index
        used = a.images.pixels[list(one.plan.used)]
        found = search(pattern, [taught.pixels[mine]], int(mine.sum()), used, settings)
        searched[at] = found
        said.append(
            {
                "class": int(one.plan.candidate.class_index),
                "found": found.found,
                "images": found.images,
                "at_most": found.at_most,
                "marked": int(taught.marked[mine].sum()),
                "without": int(has_pattern(pattern, twin.pixels[mine], settings).sum()),
            }
        )
    tested = after_training_images(a.tested, searched, settings)
    return replace(a, tested=tested, seconds=time.perf_counter() - start), said


def reliance(net: nn.Module, seed: int, plant: Plant) -> dict[str, float]:
    """What the network really does: accuracy on clean images, and the share of images of other classes that flip to the
    target when the true mark is pasted at its true place."""
    clean = planted.draw_images(seed, 20, CLEAN, 2)
    p = planted.probabilities(net, clean.pixels)
    out = {"accuracy": round(float((p.argmax(1) == clean.labels).mean()), 3)}
    if plant.kind in ("corner", "two", "moving"):
        marked = planted.draw_images(seed, 20, replace(plant, target=None, share=1.0), 2)
        q = planted.probabilities(net, marked.pixels)
        others = (clean.labels != TARGET) & (p.argmax(1) != TARGET)
        out["true_flips"] = round(float((q.argmax(1) == TARGET)[others].mean()), 3)
    return out


def resampled(
    net: nn.Module, images: Images, data: Explained, seed: int, number: int, settings: AuditSettings
) -> Iterator[dict[str, Any]]:
    """Audits of subsamples (four fifths, other halves) and of relabellings (classes dealt out anew) of clean images.

    Drawn without replacement: an image that is there twice repeats all of its pixels.
    """
    for kind in ("subsample", "relabelling"):
        for i in range(number):
            draw = np.random.default_rng([seed, 6, i, kind == "relabelling"])
            n = len(data)
            kept = np.sort(draw.permutation(n)[: round(0.8 * n)]) if kind == "subsample" else np.arange(n)
            classes = data.classes[kept] if kind == "subsample" else draw.permutation(data.classes)
            halves = in_screening_half([f"{r}" for r in kept], f"{seed} {kind} {i}")
            boxes = None
            if data.boxes is not None:
                boxes = {j: data.boxes[int(r)] for j, r in enumerate(kept)}
            labels = None if data.labels is None else data.labels[kept]
            if kind == "relabelling":
                labels = classes
            part = Explained(classes, data.grids[kept], halves, boxes, labels=labels)
            some = Images(
                images.pixels[kept], images.labels[kept], images.boxes[kept], images.marked[kept], {}
            )
            a = audited(net, some, part, settings)
            yield {
                "scenario": kind,
                "share": 0.0,
                "seed": seed,
                "number": i,
                "boxes": data.boxes is not None,
                "classes": len(CLASSES),
                "false_shortcuts": sum(r.verdict in SHORTCUTS for r in a.tested),
                "tested": a.tested[0].number_tested if a.tested else 0,
                "seconds": round(a.seconds, 1),
            }


def trained(plant: Plant, seed: int, kept: Path | None) -> nn.Module:
    """The network trained on a planted dataset; it is read from the folder `kept` if it is there, else kept in it."""
    if kept is None:
        return planted.train(planted.draw_images(seed, 200, plant, 0), seed, 9)
    at = kept / f"{seed}-{plant.kind}-{plant.share}-{plant.target}.pt"
    if at.exists():
        net = planted.network(seed)
        net.load_state_dict(torch.load(at, weights_only=True))
        return net.eval().requires_grad_(False)
    net = trained(plant, seed, None)
    torch.save(net.state_dict(), at)
    return net


def run(
    seed: int, plant: Plant, method: str, resamples: int, known: set[tuple[Any, ...]], kept: Path | None
) -> Iterator[dict[str, Any]]:
    """The rows of one seed, of the scenarios of one network, that are not known yet."""
    nets: dict[Plant, nn.Module] = {}
    settings = AuditSettings(seed=seed, most_images=16)
    for scenario in (s for s in SCENARIOS if s.trained == plant):
        variants = (False, True) if scenario.boxes else (False,)
        wanted = [
            (b, t)
            for b in variants
            for t in ((False, True) if scenario.training and not b else (False,))
            if (scenario.name, scenario.share, seed, b, t) not in known
        ]
        more = (
            scenario.name == "clean" and resamples and ("relabelling", 0.0, seed, False, False) not in known
        )
        if not wanted and not more:
            continue
        start = time.perf_counter()
        if scenario.trained not in nets:
            nets[scenario.trained] = trained(scenario.trained, seed, kept)
        net = nets[scenario.trained]
        images = planted.draw_images(seed, 100, scenario.audited, 1)
        data = explained(net, images, seed, scenario.boxes, method)
        extra = reliance(net, seed, scenario.audited) | {
            "masks": method,
            "preparation_seconds": round(time.perf_counter() - start, 1),
            "machine": cpu_name(),
        }
        peers = {
            "spray": audit_peers.spray(data.grids, data.classes, len(CLASSES)),
            "cleanlab": audit_peers.property_score(images.pixels, images.labels),
        }
        for boxes in dict.fromkeys(b for b, _ in wanted):
            a = audited(
                net, images, data if boxes else replace(data, boxes=None), settings, with_limit=not boxes
            )
            if (boxes, False) in wanted:
                yield row(scenario, seed, boxes, a, extra if boxes else extra | peers)
            if (boxes, True) in wanted:
                a, searched = with_training_images(scenario, seed, a, settings)
                yield row(scenario, seed, boxes, a, extra | {"training": True, "searched": searched})
        if more:
            yield from resampled(net, images, replace(data, boxes=None), seed, resamples, settings)


def _name(row: dict[str, Any]) -> tuple[Any, ...]:
    return *_known(row), row.get("number")


def _known(row: dict[str, Any]) -> tuple[Any, ...]:
    return *(row[name] for name in ("scenario", "share", "seed", "boxes")), row.get("training", False)


HIDDEN = ("scores", "machine", "classes", "spray", "cleanlab")
"""What is not printed of a row."""


def _listed(*arguments: Any) -> list[dict[str, Any]]:
    return list(run(*arguments))


def main() -> None:
    """Run the seeds and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--resamples", type=int, default=0, help="subsamples and relabellings of each clean dataset"
    )
    parser.add_argument("--scenarios", default="", help="only these, by name, with commas between")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--networks", type=Path, help="a folder to keep the trained networks in")
    parser.add_argument("--masks", choices=("grad-cam", "tuned"), default="grad-cam")
    parser.add_argument(
        "--add", type=Path, nargs="*", default=[], help="outputs whose rows replace those that are known"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    for added in (json.loads(file.read_text())["rows"] for file in options.add):
        replaced = {_name(r) for r in added}
        rows = [r for r in rows if _name(r) not in replaced] + added
    if options.networks is not None:
        options.networks.mkdir(parents=True, exist_ok=True)
    known = {_known(r) for r in rows}
    named = options.scenarios.split(",") if options.scenarios else [s.name for s in SCENARIOS]
    plants = dict.fromkeys(s.trained for s in SCENARIOS if s.name in named)
    with ProcessPoolExecutor(
        options.processes, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    ) as processes:
        waiting = [
            processes.submit(_listed, seed, plant, options.masks, options.resamples, known, options.networks)
            for seed in range(options.first, options.first + options.seeds)
            for plant in plants
        ]
        for done in as_completed(waiting):
            for new in done.result():
                rows.append(new)
                print({k: v for k, v in new.items() if k not in HIDDEN}, flush=True)
            options.output.write_text(json.dumps({"summary": summary(rows), "rows": rows}, indent=1) + "\n")
    for line in summary(rows):
        print(line)
    options.output.write_text(json.dumps({"summary": summary(rows), "rows": rows}, indent=1) + "\n")
    if options.output == RESULTS:
        write_page(summary(rows), rows)


if __name__ == "__main__":
    main()
