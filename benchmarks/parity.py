"""`released` against a port of the authors' loop, on a trained network with photographs: `make bench-parity`.

For each photograph the mask and the kept probability of the engine, in float64 and in float32, and those of the port in
float64 (`tests/unit/method/authors_loop.py`), which shares no code with the engine. A row of
benchmarks/results/parity.json holds the largest difference of a pixel in each precision and the steps of both. Goal in
float64: 1e-8. In float32 the recipe amplifies rounding errors (docs/method.md, "Reproducibility").

Network: SqueezeNet 1.0 of ../shared/data/networks; without that folder nothing can be measured. Photographs:
`benchmarks.photographs`.

    python -m benchmarks.parity [--images N]
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import photographs
from benchmarks.machine import cpu_name
from gfi.domain.presets import RELEASED
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.authors_loop import authors_loop

OUTPUT = Path(__file__).parent / "results" / "parity.json"
NETWORK = "squeezenet1_0"
GOAL = 1e-8


def of_engine(
    classifier: Classifier, prepared: Prepared, dtype: torch.dtype
) -> tuple[NDArray[np.float64], float, int]:
    """The mask (H, W), the probability of the kept part and the steps, by the engine."""
    assert prepared.fill is not None
    engine = Engine(classifier, RELEASED, batch=1, dtype=dtype)
    rows = engine.begin([Item(0, prepared)], [prepared.fill])
    while not rows.done:
        rows.step()
    outcome = rows.outcome()
    mask = rows.mask(outcome.omega.to(rows.omega)).image[0, 0].double().numpy()
    return mask, float(outcome.kept[0]), int(outcome.iterations[0])


def compared(classifier: Classifier, file: Path) -> dict[str, Any]:
    """One row: the engine against the port on one photograph."""
    prepared = classifier.prepare(np.asarray(Image.open(file).convert("RGB")), RELEASED)
    layers = classifier.layers_for(RELEASED)
    module = copy.deepcopy(classifier.module).double().eval()
    assert prepared.fill is not None
    image, fill = prepared.image.double()[None], prepared.fill.double()[None]
    wanted, kept, steps = authors_loop(module, module.get_submodule(layers.inverted), image, fill)
    row: dict[str, Any] = {"photograph": file.name, "steps": steps}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        mask, found, taken = of_engine(classifier, prepared, dtype)
        row |= {
            f"mask_{name}": float(np.abs(mask - wanted.numpy()).max()),
            f"kept_{name}": abs(found - kept),
            f"steps_{name}": taken,
        }
    return row


def main() -> None:
    """Compare a few photographs, writing after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2, help="photographs (default 2)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    classifier = load(NETWORK, photographs.NETWORKS)
    files = photographs.files(photographs.folder(NETWORK))
    rows: list[dict[str, Any]] = []
    for file in files[:: max(1, len(files) // given.images)][: given.images]:
        rows.append(compared(classifier, file))
        facts = {
            "network": NETWORK,
            "machine": cpu_name(),
            "torch": torch.__version__,
            "recipe": RELEASED.to_json(),
            "goal": GOAL,
        }
        OUTPUT.write_text(json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
        print(rows[-1], flush=True)
    if max(row["mask_float64"] for row in rows) > GOAL:
        raise SystemExit(f"the masks differ by more than {GOAL}")


if __name__ == "__main__":
    main()
