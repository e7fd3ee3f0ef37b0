"""How well the status `target_lost` tells a method's masks from random masks of equal area: `make bench-status`.

For each network and photograph the masks of a few methods, as the engine marks them, and random masks of the area of
the mask of `tuned`: its cells in random order (`shuffled`), and its values in the order of smooth noise on 4×4 and 7×7
cells (`smooth 4`, `smooth 7`), two shuffled and one of each smooth kind for each photograph. A row holds the share of
masks with the status, the share that version 0.1.0 marked (kept probability below a tenth), and the median lead
(`gfi.method.rows`). Goal: at least .90 of random masks, at most .05 of those of a method.

Networks: EfficientNet-Lite0, and those of ../shared/data/networks where that folder exists.

    python -m benchmarks.status [--images N] [--methods METHOD,…] [NETWORK…]

Rows of networks that are not named are kept.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks import photographs
from benchmarks.machine import cpu_name
from gfi.domain.explanation import Explanation
from gfi.domain.methods import PEERS
from gfi.domain.presets import PRESETS
from gfi.domain.statuses import ImageStatus
from gfi.method.classifiers import SAMPLE, load
from gfi.method.engine import Engine
from gfi.method.inversion import StopReason
from gfi.method.item import Item
from gfi.method.masks import Upsampling
from gfi.method.preprocess import Prepared
from gfi.method.rows import Rows, lead
from gfi.method.statuses import decide_status
from gfi.peers.peer_engine import make_engine

OUTPUT = Path(__file__).parent / "results" / "status.json"
LOST_IN_0_1 = 0.1
"""Version 0.1.0 marked masks that keep less than this share of the probability."""
BATCH = 4


def networks() -> list[str]:
    """The networks that are measured when none is named."""
    shared = photographs.NETWORKS
    names = (
        sorted(f.name for f in shared.iterdir() if (f / f"{f.name}.toml").exists()) if shared.is_dir() else []
    )
    return [SAMPLE, *names]


def random_grids(
    grid: NDArray[np.float32], draw: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Random grids with the values of `grid`, (h, w), each with its kind."""
    h, w = grid.shape
    for _ in range(2):
        yield "shuffled", draw.permutation(grid.ravel()).reshape(h, w)
    for cells in (4, 7):
        noise = torch.from_numpy(draw.random((1, 1, cells, cells)))
        smooth = functional.interpolate(noise, (h, w), mode="bilinear", align_corners=False)
        values = np.empty(h * w, np.float32)
        values[smooth.numpy().ravel().argsort(kind="stable")] = np.sort(grid.ravel())
        yield f"smooth {cells}", values.reshape(h, w)


def lead_of(rows: Rows, grid: NDArray[np.float32], images: Tensor) -> tuple[float, float]:
    """(lead, kept probability) of a grid (h, w) as the mask of the first image in `rows`."""
    grids = torch.from_numpy(grid).expand(rows.batch, -1, -1).to(images)
    upsample = Upsampling.between(grids, images, align_corners=False)
    with torch.no_grad():
        kept, removed = rows.kept_and_removed(upsample(grids).unsqueeze(1), rows.fills[0])
    own = torch.stack([kept[0], removed[0]])
    return float(lead(own, rows.of_copies(grids, [0], upsample)[0])), float(kept[0])


def row(network: str, masks: str, marked: Sequence[tuple[ImageStatus, bool, float]]) -> dict[str, Any]:
    """One row. marked: of each mask its status, whether version 0.1.0 marked it, and its lead."""
    lost = [status == ImageStatus.TARGET_LOST for status, _, _ in marked]
    leads = [one for _, _, one in marked if np.isfinite(one)]
    return {
        "network": network,
        "masks": masks,
        "images": len(marked),
        "target_lost": round(float(np.mean(lost)), 3),
        "target_lost_in_0_1": round(float(np.mean([before for _, before, _ in marked])), 3),
        "median_lead": round(float(np.median(leads)), 2) if leads else None,
        "machine": cpu_name(),
    }


def measure(network: str, count: int, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of one network."""
    classifier = load(network, photographs.NETWORKS)
    files = photographs.files(photographs.folder(network))
    files = files[:: max(1, len(files) // count)][:count]
    prepared = [classifier.prepare(np.asarray(Image.open(f).convert("RGB")), PRESETS["tuned"]) for f in files]
    draw = np.random.default_rng(0)
    for method in methods:
        engine = make_engine(classifier, {**PRESETS, **PEERS}[method], batch=BATCH)
        marked: dict[str, list[tuple[ImageStatus, bool, float]]] = {method: []}
        for found in engine.explain_many(Item(i, one) for i, one in enumerate(prepared)):
            before = found.kept < LOST_IN_0_1 * found.probability
            rows, images = _rows(engine, prepared[found.key].image, found)
            marked[method].append((found.status, before, lead_of(rows, found.grid, images)[0]))
            for kind, grid in random_grids(found.grid, draw) if method == "tuned" else ():
                own, kept = lead_of(rows, grid, images)
                status = decide_status(StopReason.FINISHED, float(grid.mean()), lead=own)
                marked.setdefault(f"random, {kind}", []).append(
                    (status, kept < LOST_IN_0_1 * found.probability, own)
                )
        for masks, statuses in marked.items():
            yield row(network, masks, statuses)


def _rows(engine: Engine, image: Tensor, found: Explanation) -> tuple[Rows, Tensor]:
    rows = Rows(engine.network, engine.recipe, BATCH)
    images = engine.padded([image])
    size = (image.shape[1], image.shape[2])
    fill, _ = engine.fill_of(Item(0, Prepared(image, None, size, (0.0, 0.0, float(size[1]), float(size[0])))))
    rows.load(images, [engine.padded([fill])])
    with torch.no_grad():
        rows.load_classes(engine.network.probabilities(rows.images), [found.target] * BATCH, [None] * BATCH)
    return rows, images


def main() -> None:
    """Measure, and write the results after each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument(
        "--methods", default="tuned,grad-cam", help="presets and methods, separated by commas"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    for network in given.networks or networks():
        new = []
        for one in measure(network, given.images, given.methods.split(",")):
            new.append(one)
            print(json.dumps(one), flush=True)
        before = json.loads(given.output.read_text())["rows"] if given.output.exists() else []
        rows = [one for one in before if one["network"] != network] + new
        given.output.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
