"""How much masks differ between execution profiles, and with and without settling: `make bench-agreement`.

    profiles   `tuned` and `paper` in batches of 1, 4 and 8 and with two threads, compared with float64: mean absolute
               difference of the masks of each image. Goal for `tuned`: 0.01 on average and at most 0.05.
    settling   `tuned`, which stops optimising an image when its mask has settled, compared with its full schedule:
               steps saved, mask difference, overlap (IoU of the highest quarter), change of insertion and deletion.
               Goal: 1.5 times fewer steps, insertion and deletion within 0.005.

Photographs: `benchmarks.photographs`. Writes benchmarks/results/agreement.json; distributions are quantiles over
images.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import photographs
from benchmarks.machine import cpu_name
from benchmarks.scoring import FILLS, Setting
from gfi.domain import geometry
from gfi.domain.explanation import Explanation
from gfi.domain.presets import PAPER, TUNED
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import SAMPLE
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.metrics.deletion import deletion
from gfi.metrics.insertion import insertion

HERE = Path(__file__).parent
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
PROFILES = (
    ("float32, batch 1", torch.float32, 1, 1),
    ("float32, batch 4", torch.float32, 4, 1),
    ("float32, batch 8", torch.float32, 8, 1),
    ("float32, batch 4, two threads", torch.float32, 4, 2),
)
"""Name, dtype, batch, threads."""


def run(
    setting: Setting, recipe: Recipe, images: Tensor, dtype: torch.dtype, batch: int, threads: int
) -> list[Explanation]:
    """Explanations of images (N, 3, H, W), in their order, for the predicted class."""
    torch.set_num_threads(threads)
    engine = Engine(setting.classifier, recipe, batch=batch, dtype=dtype)
    size = (images.shape[2], images.shape[3])
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    items = (Item(i, Prepared(x, None, size, box)) for i, x in enumerate(images))
    return sorted(engine.explain_many(items), key=lambda e: e.index)


def drawn(explanations: list[Explanation], setting: Setting) -> NDArray[np.float64]:
    """Masks (N, H, W) at the input size."""
    size = setting.classifier.preprocess.size
    return np.stack([geometry.draw(e.grid, size, False) for e in explanations]).astype(np.float64)


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and quantiles, rounded."""
    rounded = {f"q{round(100 * q)}": round(float(np.quantile(values, q)), 5) for q in QUANTILES}
    return {"mean": round(float(values.mean()), 5), **rounded}


def profiles(setting: Setting, recipe: Recipe, images: Tensor) -> list[dict[str, Any]]:
    """One row per execution profile: the differences of its masks from those in float64."""
    reference = drawn(run(setting, recipe, images, torch.float64, 4, 1), setting)
    rows = []
    for name, dtype, batch, threads in PROFILES:
        began = time.monotonic()
        mask = drawn(run(setting, recipe, images, dtype, batch, threads), setting)
        rows.append(
            {
                "preset": recipe.name,
                "profile": name,
                "against": "float64, batch 4",
                "images": len(images),
                "mask_difference": quantiles(np.abs(mask - reference).mean((1, 2))),
                "largest_pixel": round(float(np.abs(mask - reference).max()), 4),
            }
        )
        print(json.dumps(rows[-1]), f"{time.monotonic() - began:.0f} s", flush=True)
    return rows


def overlap(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """The IoU of the highest quarters of two masks (N, H, W): (N,) in [0, 1]."""
    top = [m >= np.quantile(m, 0.75, axis=(1, 2), keepdims=True) for m in (one, two)]
    return (top[0] & top[1]).sum((1, 2)) / (top[0] | top[1]).sum((1, 2))


def settling(setting: Setting) -> dict[str, Any]:
    """The steps that settling saves, and the differences that it causes."""
    images, targets = setting.images, setting.targets
    full = replace(TUNED, check_every=0)
    settled = run(setting, TUNED, images, torch.float32, 4, 1)
    early = drawn(settled, setting)
    whole = drawn(run(setting, full, images, torch.float32, 4, 1), setting)
    steps = np.array([e.iterations for e in settled], np.float64)
    row: dict[str, Any] = {
        "preset": "tuned",
        "images": len(images),
        "full_steps": full.steps,
        "steps": quantiles(steps),
        "times_fewer": round(full.steps / float(steps.mean()), 3),
        "mask_difference": quantiles(np.abs(whole - early).mean((1, 2))),
        "iou_of_the_highest_quarter": quantiles(overlap(whole, early)),
    }
    for fill in ("blur", "mean"):
        base = FILLS[fill](images)
        for name, metric in (("insertion", insertion), ("deletion", deletion)):
            areas = [
                metric(
                    setting.probabilities, images, torch.from_numpy(m).float().unsqueeze(1), targets, base
                ).area
                for m in (early, whole)
            ]
            row[f"{name} {fill}"] = round(float(areas[1].mean()), 4)
            row[f"{name} {fill}, change by settling"] = round(float((areas[0] - areas[1]).mean()), 4)
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Measure both and write agreement.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=24, help="photographs for settling; the profiles take half as many"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results" / "agreement.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = photographs.folder()
    setting = Setting(SAMPLE, folder, options.images, (0, 0))
    few = setting.images[::2]
    report = {
        "network": SAMPLE,
        "machine": cpu_name(),
        "torch": torch.__version__,
        "scores_on": setting.probabilities.runtime,
        "photographs": photographs.description(folder),
        "settling": settling(setting),
        "profiles": profiles(setting, TUNED, few) + profiles(setting, PAPER, few[:2]),
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
