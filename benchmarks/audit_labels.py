"""The audit of images with several labels: false and missed shortcuts on drawn images.

    python -m benchmarks.audit_labels [--seeds 14]

The images, masks and the model are those of `tests/unit/audit/several_labels.py`: 300 images with one or two of eight
classes, or 480 with the last class in four of five of them, and a sigmoid for each class. Each seed is audited with and
without boxes. Writes benchmarks/results/audit_labels.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import beta

from gfi.audit.audit import audit
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import SHORTCUTS, Tested
from tests.unit.audit.several_labels import THRESHOLDS, several_labels
from tests.unit.audit.synthetic import CLASSES, MARK, SIZE

RESULTS = Path(__file__).parent / "results" / "audit_labels.json"
SCENARIOS = {
    "clean": (0.0, False),
    "clean, one class in four of five images": (0.0, True),
    "a mark in half of the images of one class": (0.5, False),
    "the same, another class in four of five images": (0.5, True),
}
"""Share of the images of class 0 with the mark, and whether one class is in most images."""


def row_of(scenario: str, seeds: int, settings: AuditSettings) -> dict[str, Any]:
    """All runs of a scenario, as a row: a seed is audited with and without boxes."""
    share, crowded = SCENARIOS[scenario]
    found = tested = 0
    false: set[int] = set()
    for seed in range(seeds):
        # Where one class is in most images, the others have fewer: each needs twenty in the screening half.
        w = several_labels(share, images=480 if crowded else 300, seed=seed, crowded=crowded)
        for boxes in (w.data.boxes, None):
            data = replace(w.data, boxes=boxes)
            told = audit(data, CLASSES, w.photographs, w.predict, settings, THRESHOLDS)
            shortcuts = [one for one in told if one.verdict in SHORTCUTS]
            right = [one for one in shortcuts if share and _of_the_mark(one)]
            found += bool(right)
            if len(shortcuts) > len(right):
                false.add(seed)
            tested += len(told)
    return {
        "scenario": scenario,
        "seeds": seeds,
        "runs": 2 * seeds,
        "candidates": tested,
        "found": found if share else None,
        # With and without boxes the images are the same: what is counted is seeds.
        "false_shortcut": len(false),
        "bound": 1.0
        if len(false) == seeds
        else round(float(beta.ppf(0.95, len(false) + 1, seeds - len(false))), 4),
    }


def _of_the_mark(one: Tested) -> bool:
    """Whether it is of the class with the mark, and removed where the mark is."""
    near = (2 + MARK) / SIZE
    places = [r.place for r in one.plan.removals]
    return one.plan.candidate.class_index == 0 and all(p.left < near and p.top < near for p in places)


def main() -> None:
    """Draw, audit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=14)
    options = parser.parse_args()
    settings = AuditSettings(most_images=12, candidates_per_class=2)
    rows = []
    for scenario in SCENARIOS:
        rows.append(row_of(scenario, options.seeds, settings))
        print(rows[-1], flush=True)
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
