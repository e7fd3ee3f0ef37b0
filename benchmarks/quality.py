"""Quality of the masks: `tuned` and `paper` compared with other methods and with controls: `make bench-quality`.

Every method explains the class that the network predicts. Then, for each photograph:

    insertion, deletion   with five fills: blur, mean colour, noise, ROAD's imputation (`gfi.metrics.fills`), and
                          another photograph (`gfi.metrics.photograph_fill`). `tuned` optimises with blur and mean
                          colour alone
    grid pointing         2×2 and 3×3 grids of confidently classified photographs: share of the mass, and arg-max, in
                          the cell of the target
    average drop          the photograph times its mask
    energy in box         on the shipped samples, whose boxes are known, where the label is the prediction

Photographs: every second one of ../shared/data/photographs where that folder exists (the others were used to choose the
recipe), otherwise the shipped samples. Intervals are percentiles of 10,000 bootstraps over photographs; differences to
Grad-CAM are paired.

Masks come from the engine and from `gfi.peers`. Scores run on OpenVINO where it is installed (five times as fast,
compared with torch first), and the results say which of the two was used.

    python -m benchmarks.quality [METHOD…] [--network NAME] [--full] [--images N] [--fills FILL…] [--photographs DIR]
                                 [--output FILE]

Finished parts are stored under .gfi/bench-quality, so an interrupted run continues.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import photographs
from benchmarks.machine import cpu_name
from benchmarks.scoring import (
    EVERY_FILL,
    IMPUTED,
    METHODS,
    REFERENCE,
    SLOW,
    Scores,
    Setting,
    masks,
    score,
)
from gfi import samples
from gfi.domain.geometry import place
from gfi.domain.presets import PRESETS
from gfi.method.classifiers import SAMPLE
from gfi.report.contact_sheet import Cell, contact_sheet
from gfi.report.overlays import overlay, png

HERE = Path(__file__).parent
CHOSEN_ON = {"tuned": [SAMPLE]}
"""Method → the networks on which its recipe was chosen, with photographs that are not scored."""


def interval(values: NDArray[np.float64], seed: int = 0) -> list[float]:
    """The 95 % interval of the mean: percentiles of 10,000 bootstraps."""
    draw = np.random.default_rng(seed).integers(0, len(values), (10_000, len(values)))
    return [round(float(x), 4) for x in np.percentile(values[draw].mean(1), (2.5, 97.5))]


def mean(values: list[float] | None) -> float | None:
    """The mean, rounded; None without values."""
    return None if not values else round(float(np.mean(values)), 4)


def difference(scores: Scores, reference: Scores, name: str) -> dict[str, Any]:
    """Mean and interval of the paired difference from Grad-CAM, over the photographs that both have."""
    if name not in scores or name not in reference:
        return {"difference": None, "difference_ci": None}
    both = min(len(scores[name]), len(reference[name]))
    gap = np.array(scores[name][:both]) - np.array(reference[name][:both])
    return {"difference": round(float(gap.mean()), 4), "difference_ci": interval(gap)}


def rows(setting: Setting, method: str, scores: Scores, reference: Scores) -> list[dict[str, Any]]:
    """The rows of one method in quality.json, one for each fill."""
    table = []
    for fill in (f for f in EVERY_FILL if f"insertion {f}" in scores):
        row: dict[str, Any] = {
            "network": setting.classifier.reference,
            "method": method,
            "fill": fill,
            "images": len(scores[f"insertion {fill}"]),
            "machine": cpu_name(),
            "chosen_on": CHOSEN_ON.get(method, []),
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
            for name, part in ((f"grid_pointing{suffix}", f"share {n}"), (f"grid_hit{suffix}", f"hit {n}")):
                row |= {f"{name}_{k}": v for k, v in difference(scores, reference, part).items()}
        row |= {"grids": len(scores.get("share 2", [])), "grids_3": len(scores.get("share 3", []))}
        row |= {"grid_confidence": setting.least.get(2), "grid_confidence_3": setting.least.get(3)}
        row |= {"energy_in_box": mean(scores.get("energy")), "boxes": len(scores.get("energy", []))}
        row |= {name: mean(scores.get(name)) for name in ("average_drop", "average_increase", "area")}
        table.append(row)
    return table


def merged(file: Path, network: str, metadata: dict[str, Any], new: list[dict[str, Any]]) -> dict[str, Any]:
    """The new content of `file`: the new rows, and the unchanged rows of other networks, methods and fills.

    Rows of the sample network come first. metadata: of the last run on this network; the machine is in each row.
    """
    before = json.loads(file.read_text()) if file.exists() else {"facts": {}, "rows": []}
    again = {(network, row["method"], row["fill"]) for row in new}
    kept = [row for row in before["rows"] if (row["network"], row["method"], row["fill"]) not in again]
    return {
        "facts": before["facts"] | {network: metadata},
        "rows": sorted(
            [*kept, *new],
            key=lambda row: (
                row["network"] != SAMPLE,
                row["network"],
                METHODS.index(row["method"]),
                EVERY_FILL.index(row["fill"]),
            ),
        ),
    }


def line(row: dict[str, Any]) -> str:
    """One row as a printed line."""
    text = f"{row['method']:26} {row['fill']:10} n {row['images']:3}"
    for name in ("insertion", "deletion"):
        low, high = row[f"{name}_difference_ci"]
        text += f"  {name} {row[name]:.3f} ({row[f'{name}_difference']:+.3f}, {low:+.3f} to {high:+.3f})"
    pairs = [(row[f"grid_pointing{n}"], row[f"grid_hit{n}"]) for n in ("", "_3")]
    return text + "".join(f"  {share:.2f} {hit:.2f}" for share, hit in pairs if share is not None)


def picture(setting: Setting, file: Path) -> None:
    """A contact sheet: a row for each of five shipped photographs, a column for each of five methods."""
    methods = ("tuned", "paper", REFERENCE, "layer-cam", "integrated-gradients")
    chosen = [samples.path() / f"{name}.jpg" for name in ("cat", "coffee", "rocket", "officer", "clock")]
    shown = [setting.prepare(f) for f in chosen]
    images = torch.stack([p.image for p in shown])
    targets = setting.probabilities(images).argmax(1)
    drawn = [masks(setting, method, images, targets).numpy() for method in methods]
    cells = []
    for i, path in enumerate(chosen):
        photo = np.asarray(Image.open(path).convert("RGB"))
        row = [Cell(photo, setting.classifier.class_names[int(targets[i])])]
        for maps in drawn:
            row.append(Cell(overlay(photo, place(maps[i, 0], shown[i].original_size, shown[i].box))))
        cells.append((path.stem, row))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(contact_sheet(("photograph", *methods), cells)))


def options() -> argparse.Namespace:
    """The command line; numbers that are not given depend on --full."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("methods", nargs="*", default=list(METHODS), metavar="METHOD")
    add("--full", action="store_true", help="50 photographs, every fill and grid for every method")
    add("--images", type=int, help="photographs (default 6; with --full 50)")
    add(
        "--fills",
        nargs="+",
        choices=EVERY_FILL,
        default=EVERY_FILL,
        help="these alone; rows of others are kept",
    )
    add("--slow", type=int, help=f"photographs for {', '.join(SLOW)} (default 2; with --full all)")
    add("--grids", type=int, nargs=2, help="2×2 and 3×3 grids (default 6 3; with --full 40 27)")
    add("--imputed", type=int, help="photographs scored with the imputation too (default 2; with --full all)")
    add(
        "--others", type=int, help=f"photographs for all methods but {REFERENCE} and tuned (default: as many)"
    )
    add(
        "--network",
        default=SAMPLE,
        help="efficientnet-lite0, -lite1, -lite2 or a folder of ../shared/data/networks; rows of other networks, and of"
        " methods not named, are kept",
    )
    add("--photographs", type=Path, help="a folder of photographs (default: as above)")
    add("--picture", action="store_true", help="draw docs/pictures/quality.png from the samples")
    add("--output", type=Path, default=HERE / "results" / "quality.json")
    given = parser.parse_args()
    given.images = given.images or (50 if given.full else 6)
    given.slow = given.slow or (given.images if given.full else 2)
    given.others = given.others or given.images
    given.imputed = given.imputed or (given.images if given.full else 2)
    given.grids = tuple(given.grids or ((40, 27) if given.full else (6, 3)))
    given.photographs = given.photographs or photographs.folder(given.network)
    return given


def main() -> None:
    """Score every method, writing the results after each."""
    given = options()
    setting = Setting(given.network, given.photographs, given.images, given.grids)
    described = photographs.description(given.photographs)
    print(
        f"{len(setting.images)} photographs: {described}; scores on {setting.probabilities.runtime}",
        flush=True,
    )

    home = HERE.parent / ".gfi" / "bench-quality"
    home.mkdir(parents=True, exist_ok=True)
    scored: dict[str, Scores] = {}
    for method in dict.fromkeys((REFERENCE, *given.methods)):
        with_grids = given.full or method not in SLOW
        wanted = [f for f in given.fills if given.full or f != "imputation" or method in IMPUTED]
        count = (
            len(setting.images) if method in (REFERENCE, "tuned") else min(given.others, len(setting.images))
        )
        count = min(given.slow, count) if method in SLOW else count
        scored[method] = score(setting, method, count, with_grids, wanted, home, given.imputed)
        new = [row for name, s in scored.items() for row in rows(setting, name, s, scored[REFERENCE])]
        metadata = {
            "machine": cpu_name(),
            "torch": torch.__version__,
            "scores_on": setting.probabilities.runtime,
            "photographs": described,
            "recipe": PRESETS["tuned"].to_json(),
        }
        report = merged(given.output, given.network, metadata, new)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(report, indent=1) + "\n")
        for row in rows(setting, method, scored[method], scored[REFERENCE]):
            print(line(row), flush=True)
    if given.picture or given.photographs == samples.path():
        picture(setting, HERE.parent / "docs" / "pictures" / "quality.png")


if __name__ == "__main__":
    main()
