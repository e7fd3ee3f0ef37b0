"""What the masks are worth: `tuned` and `paper` beside the other methods and the controls: `make bench-quality`.

Every method explains the class that the network predicts; then, for each photograph,

    insertion, deletion   with four fills. `tuned` optimises with blur and mean colour; noise and ROAD's
                          imputation it never saw (`gfi.metrics.fills`)
    grid pointing         2×2 and 3×3 grids of confident photographs: share of the mass, and arg-max, in the cell
    average drop          the photograph times its mask
    energy in box         on the shipped samples, whose boxes are known, where the label is the prediction

Photographs: ../shared/data/photographs where it is there, and of those only every second one, in order of name:
the others were used to choose the recipe. Elsewhere the shipped samples. Intervals are percentiles of 10,000
bootstraps over photographs, differences to Grad-CAM paired.

Masks come from the engine and from `gfi.peers`. Scores need a hundred thousand forward passes; they run on
OpenVINO where it is installed (five times as fast, checked against torch first), and the result says which.

    python -m benchmarks.quality [--network NAME] [--full] [--images N] [--photographs DIR] [--output FILE] [METHOD…]

Finished parts are kept under .gfi/bench-quality, so an interrupted run goes on where it was.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.engine import cpu_name
from benchmarks.forward import forward
from gfi import peers, samples
from gfi.domain import interpolation
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PAPER, PRESETS
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import SAMPLE, Classifier, load
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.metrics import fills
from gfi.metrics.average_drop import average_drop
from gfi.metrics.curves import Fill
from gfi.metrics.deletion import deletion
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.grid_pointing import choose, compose, grid_pointing
from gfi.metrics.insertion import insertion
from gfi.report.contact_sheet import Cell, contact_sheet
from gfi.report.overlays import fit_mask, overlay, png

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared" / "data" / "photographs"
REFERENCE = "grad-cam"
RANDOMISED = "tuned, randomised weights"
METHODS = (
    REFERENCE,
    "tuned",
    "random",
    "centred",
    "layer-cam",
    RANDOMISED,
    "integrated-gradients",
    "occlusion",
    "paper",
    "rise",
)
SLOW = ("paper", "rise", "occlusion", "integrated-gradients")
"""Methods of hundreds of passes an image: fewer photographs, and no grids unless --full."""
IMPUTED = (REFERENCE, "tuned")
"""Methods tried with the imputation too, unless --full: solving for the missing pixels costs more than the passes."""

Scores = dict[str, list[float]]
"""Name of a score → one value a photograph (or a grid)."""


class Setting:
    """The photographs, the grids made from them, and the network that is asked."""

    def __init__(
        self, network: str, photographs: Path, count: int, grids: tuple[int, int], shared: bool
    ) -> None:
        self.classifier = load(network)
        self.ask = forward(self.classifier)
        files = sorted(f for f in photographs.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
        self.files = files[1::2] if shared else files
        everything = self.load(self.files)
        answers = torch.cat([self.ask(part) for part in everything.split(25)])
        sure, predicted = answers.max(1)
        every = max(1, len(self.files) // count)
        chosen = list(range(0, len(self.files), every))[:count]
        self.images, self.targets = everything[chosen], predicted[chosen]
        self.names = [self.files[i].name for i in chosen]
        self.grids: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self.least: dict[int, float] = {}
        for n, many in zip((2, 3), grids, strict=True):
            if not many:
                continue
            which = self.confident(predicted.tolist(), sure.tolist(), n, many)
            if which is None:
                continue
            cells = torch.arange(many) % (n * n)
            images = compose(
                torch.stack([everything[list(g)] for g in which]), n, self.classifier.preprocess.size
            )
            targets = torch.stack([predicted[g[c]] for g, c in zip(which, cells.tolist(), strict=True)])
            self.grids[n] = (images, targets, cells)

    def confident(
        self, predicted: list[int], sure: list[float], n: int, many: int
    ) -> list[tuple[int, ...]] | None:
        """Grids of photographs the network is as sure of as it gets; None where it predicts too few classes."""
        for least in (0.9, 0.7, 0.5, 0.3):
            try:
                which = choose(predicted, sure, n, many, least=least)
            except ValueError:
                continue
            self.least[n] = least
            return which
        return None

    def load(self, files: Iterable[Path]) -> Tensor:
        """Normalised images (N, 3, H, W)."""
        return torch.stack([self.prepare(file).image for file in files])

    def prepare(self, file: Path) -> Prepared:
        return self.classifier.prepare(np.asarray(Image.open(file).convert("RGB")), PAPER)

    def key(self, method: str) -> str:
        """All that a method's scores depend on, short."""
        recipe = PRESETS[method.partition(",")[0]].digest() if method.partition(",")[0] in PRESETS else ""
        shape = [self.names, {n: len(g[1]) for n, g in self.grids.items()}, self.classifier.digest]
        return hashlib.sha256(json.dumps([method, recipe, shape]).encode()).hexdigest()[:16]


def masks(setting: Setting, method: str, images: Tensor, targets: Tensor) -> Tensor:
    """Masks (N, 1, H, W) of one method for images (N, 3, H, W)."""
    if method in PRESETS:
        return optimised(setting.classifier, PRESETS[method], images, targets)
    if method == RANDOMISED:
        blank = Classifier(
            peers.randomised(setting.classifier.module),
            "randomised",
            setting.classifier.preprocess,
            own_layers=Layers("_swish", ("_swish",)),
        )
        return optimised(blank, PRESETS["tuned"], images, targets)
    options: dict[str, Any] = {}
    if method in peers.NEED_LAYER:
        options["layer"] = setting.classifier.layers_for(PAPER).inverted
    if method in ("rise", "occlusion"):
        options["probabilities"] = setting.ask
    return peers.explain(method, setting.classifier.module, images, targets, **options)


def optimised(classifier: Classifier, recipe: Recipe, images: Tensor, targets: Tensor) -> Tensor:
    """Masks of the engine."""
    engine = Engine(classifier, recipe)
    size = (images.shape[2], images.shape[3])
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    items = (Item(i, Prepared(x, None, size, box), int(targets[i])) for i, x in enumerate(images))
    done = sorted(engine.explain_many(items), key=lambda e: e.index)
    drawn = [interpolation.draw(e.grid, size, recipe.align_corners) for e in done]
    return torch.from_numpy(np.stack(drawn)).unsqueeze(1)


FILLS: dict[str, Callable[[Tensor], Fill]] = {
    "blur": fills.blurred,
    "mean": fills.mean_colour,
    "noise": fills.white_noise,
    "imputation": lambda images: fills.imputation(),
}


def score(
    setting: Setting, method: str, count: int, grids: bool, wanted: Iterable[str], home: Path, imputed: int
) -> Scores:
    """All scores of one method on the first `count` photographs; parts that exist in `home` are read."""
    images, targets = setting.images[:count], setting.targets[:count]

    def part(name: str, make: Callable[[], Scores]) -> Scores:
        file = home / f"{setting.key(method)}-{count}-{name}.json"
        if not file.exists():
            began = time.monotonic()
            found = make()
            file.write_text(json.dumps(found))
            print(f"  {method}: {name} in {time.monotonic() - began:.0f} s", flush=True)
        return dict(json.loads(file.read_text()))

    drawn: list[Tensor] = []

    def maps() -> Tensor:
        file = home / f"{setting.key(method)}-{count}.npy"
        if not file.exists():
            np.save(file, masks(setting, method, images, targets).numpy())
        drawn.append(torch.from_numpy(np.load(file)))
        return drawn[-1]

    def curves(fill: str) -> Scores:
        mask = drawn[-1] if drawn else maps()
        shown = (
            (images, mask, targets)
            if fill != "imputation"
            else (images[:imputed], mask[:imputed], targets[:imputed])
        )
        base = FILLS[fill](shown[0])
        return {
            f"insertion {fill}": insertion(setting.ask, *shown, base).area.tolist(),
            f"deletion {fill}": deletion(setting.ask, *shown, base).area.tolist(),
        }

    def others() -> Scores:
        mask = drawn[-1] if drawn else maps()
        dropped = average_drop(setting.ask, images, mask, targets)
        return {
            "average_drop": dropped.drop.tolist(),
            "average_increase": dropped.increase.double().tolist(),
            "area": mask.mean((1, 2, 3)).tolist(),
        }

    def pointing(n: int) -> Scores:
        whole, classes, cells = setting.grids[n]
        found = grid_pointing(masks(setting, method, whole, classes), n, cells)
        return {f"share {n}": found.share.tolist(), f"hit {n}": found.hit.double().tolist()}

    scores: Scores = {}
    for fill in wanted:
        name = f"{fill}-{imputed}" if fill == "imputation" else fill
        scores |= part(name, lambda fill=fill: curves(fill))  # type: ignore[misc]
    scores |= part("others", others)
    for n in setting.grids if grids else ():
        scores |= part(f"grids{n}", lambda n=n: pointing(n))  # type: ignore[misc]
    if method not in SLOW or grids:
        scores |= part("boxes", lambda: boxes(setting, method))
    return scores


def boxes(setting: Setting, method: str) -> Scores:
    """Energy in box on the samples whose label is what the network predicts."""
    entries = [json.loads(line) for line in samples.manifest().read_text().splitlines()]
    entries = [e for e in entries if e["label"] is not None]
    shown = [setting.prepare(samples.path().parent / e["key"]) for e in entries]
    images = torch.stack([p.image for p in shown])
    targets = setting.ask(images).argmax(1)
    known = [setting.classifier.wordnet_ids[t] for t in targets.tolist()]
    right = [i for i, e in enumerate(entries) if e["label"] == known[i]]
    found = masks(setting, method, images[right], targets[right])
    shares = energy_in_box(
        found.numpy(),
        [shown[i].original_size for i in right],
        [shown[i].box for i in right],
        [entries[i]["boxes"] for i in right],
    )
    return {"energy": shares.tolist()}


def interval(values: NDArray[np.float64], seed: int = 0) -> list[float]:
    """95 % of 10,000 bootstrapped means."""
    draw = np.random.default_rng(seed).integers(0, len(values), (10_000, len(values)))
    return [round(float(x), 4) for x in np.percentile(values[draw].mean(1), (2.5, 97.5))]


def mean(values: list[float] | None) -> float | None:
    return None if not values else round(float(np.mean(values)), 4)


def difference(scores: Scores, reference: Scores, name: str) -> dict[str, Any]:
    """Mean and interval of the paired difference to Grad-CAM, on the photographs both have."""
    if name not in scores or name not in reference:
        return {"difference": None, "difference_ci": None}
    both = min(len(scores[name]), len(reference[name]))
    gap = np.array(scores[name][:both]) - np.array(reference[name][:both])
    return {"difference": round(float(gap.mean()), 4), "difference_ci": interval(gap)}


def rows(setting: Setting, method: str, scores: Scores, reference: Scores) -> list[dict[str, Any]]:
    """The rows of one method in quality.json, one a fill."""
    found = []
    for fill in (f for f in FILLS if f"insertion {f}" in scores):
        row: dict[str, Any] = {
            "network": setting.classifier.reference,
            "method": method,
            "fill": fill,
            "images": len(scores[f"insertion {fill}"]),
            "machine": cpu_name(),
        }
        for name in ("insertion", "deletion"):
            values = scores[f"{name} {fill}"]
            row |= {name: mean(values), f"{name}_ci": interval(np.array(values))}
            row |= {f"{name}_{k}": v for k, v in difference(scores, reference, f"{name} {fill}").items()}
        for n, suffix in ((2, ""), (3, "_3")):
            row |= {
                f"grid_pointing{suffix}": mean(scores.get(f"share {n}")),
                f"grid_hit{suffix}": mean(scores.get(f"hit {n}")),
            }
            for name, score in ((f"grid_pointing{suffix}", f"share {n}"), (f"grid_hit{suffix}", f"hit {n}")):
                row |= {f"{name}_{k}": v for k, v in difference(scores, reference, score).items()}
        row |= {"grids": len(scores.get("share 2", [])), "grids_3": len(scores.get("share 3", []))}
        row |= {"grid_confidence": setting.least.get(2), "grid_confidence_3": setting.least.get(3)}
        row |= {"energy_in_box": mean(scores.get("energy")), "boxes": len(scores.get("energy", []))}
        row |= {name: mean(scores.get(name)) for name in ("average_drop", "average_increase", "area")}
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", default=list(METHODS), metavar="METHOD")
    parser.add_argument(
        "--full", action="store_true", help="50 photographs, every fill and grid for every method"
    )
    parser.add_argument("--images", type=int, help="photographs (default 6; with --full 50)")
    parser.add_argument(
        "--slow", type=int, help=f"photographs for {', '.join(SLOW)} (default 2; with --full all)"
    )
    parser.add_argument(
        "--grids", type=int, nargs=2, help="2×2 and 3×3 grids (default 6 3; with --full 40 27)"
    )
    parser.add_argument(
        "--imputed", type=int, help="photographs scored with imputation too (default 2; with --full all)"
    )
    parser.add_argument(
        "--others", type=int, help=f"photographs for all but {REFERENCE} and tuned (default: as many)"
    )
    parser.add_argument(
        "--network",
        default=SAMPLE,
        help="efficientnet-lite0, -lite1 or -lite2; rows of others, and of methods not named, are left alone",
    )
    parser.add_argument("--photographs", type=Path)
    parser.add_argument(
        "--picture", action="store_true", help="draw docs/pictures/quality.png from the samples"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results" / "quality.json")
    options = parser.parse_args()

    count = options.images or (50 if options.full else 6)
    slow = options.slow or (count if options.full else 2)
    others = options.others or count
    imputed = options.imputed or (count if options.full else 2)
    shared = options.photographs is None and SHARED.is_dir()
    folder = options.photographs or (SHARED if shared else samples.path())
    setting = Setting(
        options.network, folder, count, tuple(options.grids or ((40, 27) if options.full else (6, 3))), shared
    )
    described = (
        "every second photograph of ../shared/data/photographs"
        if shared
        else ("the shipped samples" if folder == samples.path() else str(folder))
    )
    print(f"{len(setting.images)} photographs: {described}; scores on {setting.ask.runtime}", flush=True)

    home = HERE.parent / ".gfi" / "bench-quality"
    home.mkdir(parents=True, exist_ok=True)
    scored: dict[str, Scores] = {}
    for method in dict.fromkeys((REFERENCE, *options.methods)):
        few = method in SLOW and not options.full
        wanted = [f for f in FILLS if options.full or f != "imputation" or method in IMPUTED]
        many = len(setting.images) if method in (REFERENCE, "tuned") else min(others, len(setting.images))
        many = min(slow, many) if method in SLOW else many
        scored[method] = score(setting, method, many, not few, wanted, home, imputed)
        ours = [row for name, s in scored.items() for row in rows(setting, name, s, scored[REFERENCE])]
        facts = {
            "machine": cpu_name(),
            "torch": torch.__version__,
            "scores_on": setting.ask.runtime,
            "photographs": described,
            "recipe": PRESETS["tuned"].to_json(),
        }
        report = merged(options.output, options.network, facts, ours)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
        for row in rows(setting, method, scored[method], scored[REFERENCE]):
            print(line(row), flush=True)
    if folder == samples.path() or options.picture:
        picture(setting, HERE.parent / "docs" / "pictures" / "quality.png")


def merged(file: Path, network: str, facts: dict[str, Any], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """What `file` is to hold: our rows, and those of other networks and methods as they were; the sample's first.

    facts are the last run's on this network; a row says itself which machine it is from.
    """
    before = json.loads(file.read_text()) if file.exists() else {"facts": {}, "rows": []}
    again = {row["method"] for row in ours}
    kept = [row for row in before["rows"] if row["network"] != network or row["method"] not in again]
    return {
        "facts": before["facts"] | {network: facts},
        "rows": sorted(
            [*kept, *ours],
            key=lambda row: (row["network"] != SAMPLE, row["network"], METHODS.index(row["method"])),
        ),
    }


def line(row: dict[str, Any]) -> str:
    """One row for people."""
    text = f"{row['method']:26} {row['fill']:10} n {row['images']:3}"
    for name in ("insertion", "deletion"):
        low, high = row[f"{name}_difference_ci"]
        text += f"  {name} {row[name]:.3f} ({row[f'{name}_difference']:+.3f}, {low:+.3f} to {high:+.3f})"
    pairs = [(row[f"grid_pointing{n}"], row[f"grid_hit{n}"]) for n in ("", "_3")]
    return text + "".join(f"  {share:.2f} {hit:.2f}" for share, hit in pairs if share is not None)


def picture(setting: Setting, file: Path) -> None:
    """Shipped photographs down, methods across."""
    methods = ("tuned", "paper", REFERENCE, "layer-cam", "integrated-gradients")
    chosen = [samples.path() / f"{name}.jpg" for name in ("cat", "coffee", "rocket", "officer", "clock")]
    shown = [setting.prepare(f) for f in chosen]
    images = torch.stack([p.image for p in shown])
    targets = setting.ask(images).argmax(1)
    drawn = [masks(setting, method, images, targets).numpy() for method in methods]
    cells = []
    for i, path in enumerate(chosen):
        photo = np.asarray(Image.open(path).convert("RGB"))
        row = [Cell(photo, setting.classifier.class_names[int(targets[i])])]
        for maps in drawn:
            row.append(Cell(overlay(photo, fit_mask(maps[i, 0], shown[i].original_size, shown[i].box))))
        cells.append((path.stem, row))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(contact_sheet(("photograph", *methods), cells)))


if __name__ == "__main__":
    main()
