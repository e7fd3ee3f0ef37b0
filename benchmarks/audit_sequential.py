"""The sequential audit on simulated streams: `make bench-audit-sequential`.

Ten classes of 2,000 images. A first sample of 40 images of each class fixes one candidate a class; then 20 images a
class and instalment test it, until every class is settled or the dataset is done. Of each image it is drawn whether the
candidate is seen in it, and then its two effects beyond the controls:

    nothing     mean 0, spread .08: filling or pasting anything changes a little
    skewed      mean 0: .95 in one image of twenty, else −.05
    boundary    1 in one image of ten, else 0: both means are exactly `least_effect`, the hardest case of "no finding"
    margin      1 in one image of five, else 0: both means are exactly `margin`, the hardest case of "nothing there"
    weak        means .30, spread .30
    strong      as the planted marks of `benchmarks.audit`: removal .84, pasting .75 in nine images of ten

Writes benchmarks/results/audit_sequential.json, a row a scenario: how many streams have a false confirmation, how many
candidates with an effect were confirmed or called "nothing there", and the share of images that were not explained. The
bounds are exact one-sided 95 % bounds (Clopper and Pearson).

    python -m benchmarks.audit_sequential [--streams 400]
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from gfi.audit.sequential import Evidence, SequentialSettings, Settled, next_images

RESULTS = Path(__file__).parent / "results" / "audit_sequential.json"
CLASSES, IMAGES, SAMPLE = 10, 2000, 40
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def _normal(mean: float, spread: float) -> Draw:
    return lambda draw, n: np.clip(draw.normal(mean, spread, n), -1, 1)


def _coin(share: float, high: float, low: float) -> Draw:
    return lambda draw, n: np.where(draw.random(n) < share, high, low)


def _pasted(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.where(draw.random(n) < 0.9, np.clip(draw.normal(0.75, 0.15, n), -1, 1), 0.0)


EFFECTS: dict[str, tuple[Draw, Draw]] = {
    "nothing": (_normal(0.0, 0.08), _normal(0.0, 0.08)),
    "skewed": (_coin(0.05, 0.95, -0.05), _coin(0.05, 0.95, -0.05)),
    "boundary": (_coin(0.10, 1.0, 0.0), _coin(0.10, 1.0, 0.0)),
    "margin": (_coin(0.20, 1.0, 0.0), _coin(0.20, 1.0, 0.0)),
    "weak": (_normal(0.30, 0.30), _normal(0.30, 0.30)),
    "strong": (_normal(0.84, 0.15), _pasted),
}
# scenario: (effects of the first candidates, how many, share of images they are seen in); the others are `nothing`.
SCENARIOS: dict[str, tuple[str, int, float]] = {
    "clean": ("nothing", 10, 0.3),
    "clean, skewed effects": ("skewed", 10, 0.3),
    "all at the boundary": ("boundary", 10, 0.3),
    "all at the margin": ("margin", 10, 0.3),
    "mark in 50 % of one class": ("strong", 1, 0.5),
    "mark in 30 % of one class": ("strong", 1, 0.3),
    "marks in 30 % of three classes": ("strong", 3, 0.3),
    "weak mark in 30 % of one class": ("weak", 1, 0.3),
}


def stream(scenario: str, draw: np.random.Generator, settings: SequentialSettings) -> dict[str, Any]:
    """One audit: what became of the planted and of the other candidates, and the share of images explained."""
    effect, planted, share = SCENARIOS[scenario]
    classes = np.repeat(np.arange(CLASSES), IMAGES)
    order = draw.permutation(len(classes))
    used = np.zeros(len(classes), bool)
    used[next_images(classes, order, used, range(CLASSES), SAMPLE)] = True
    evidence = Evidence(np.arange(CLASSES), "m", settings)
    while len(wanted := evidence.open_classes()):
        chosen = next_images(classes, order, used, wanted, settings.instalment)
        if not len(chosen):
            break
        used[chosen] = True
        for k in wanted.tolist():
            drawn = int((classes[chosen] == k).sum())
            seen = int(draw.binomial(drawn, share if k < planted else 0.3))
            removal, pasting = EFFECTS[effect if k < planted else "nothing"]
            evidence.add(k, removal(draw, seen), pasting(draw, seen))
    states = evidence.settled()
    return {
        "planted": [str(state) for state in states[:planted]],
        "others": [str(state) for state in states[planted:]],
        "explained": float(used.mean()),
    }


def row_of(scenario: str, streams: int, settings: SequentialSettings) -> dict[str, Any]:
    """All streams of a scenario, as a row."""
    effect, _, share = SCENARIOS[scenario]
    true = effect in ("strong", "weak")
    number = list(SCENARIOS).index(scenario)
    runs = [stream(scenario, np.random.default_rng([16, number, i]), settings) for i in range(streams)]
    nothings = [run["others"] + ([] if true else run["planted"]) for run in runs]
    false = sum(Settled.CONFIRMED in states for states in nothings)
    real = [state for run in runs for state in run["planted"]] if true or effect == "margin" else []
    missed = sum(state == Settled.NOTHING for state in real)
    explained = np.array([run["explained"] for run in runs])
    return {
        "scenario": scenario,
        "streams": streams,
        "share": share,
        "false_confirmed": None if effect == "margin" else false,
        "false_confirmed_bound": None if effect == "margin" else round(_bound(false, streams), 4),
        "candidates_with_effect": len(real),
        "confirmed": sum(state == Settled.CONFIRMED for state in real),
        "false_nothing": missed,
        "false_nothing_bound": round(_bound(missed, len(real)), 4) if real else None,
        "open": sum(state == Settled.OPEN for run in runs for state in run["planted"] + run["others"]),
        "images_saved_mean": round(float(1 - explained.mean()), 4),
        "images_saved_worst": round(float(1 - explained.max()), 4),
    }


def _bound(count: int, of: int) -> float:
    return 1.0 if count == of else float(beta.ppf(0.95, count + 1, of - count))


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=400)
    options = parser.parse_args()
    settings = SequentialSettings()
    rows = []
    for scenario in SCENARIOS:
        rows.append(row_of(scenario, options.streams, settings))
        print(rows[-1], flush=True)
    RESULTS.write_text(json.dumps({"settings": vars(settings), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
