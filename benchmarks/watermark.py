"""The watermark of ImageNet-W as a stated hypothesis: `python -m benchmarks.watermark`.

Networks trained on ImageNet take a faint text over the image for "carton" (Li et al., "A Whac-A-Mole Dilemma", CVPR
2023: a ResNet-50 loses 25.4 points, and its answers "carton" on cartons rise by 30). The mark is our own drawing: six
glyphs in white, half transparent, in a line through the middle. The photographs are those of ../shared/data, one of
each of a hundred classes, and are not shipped; the network is EfficientNet-Lite0.

Two rows of benchmarks/results/audit.json:

    watermark           top-1 and p(carton) with and without the mark, and what `gfi audit --patch` would say
    shared photographs  what an audit of these photographs says: one image a class is too few, whatever the masks show

Other rows are kept.
"""

import csv
import json
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.audit import RESULTS
from benchmarks.audit_page import summary
from benchmarks.machine import cpu_name
from benchmarks.photographs import SHARED
from gfi.audit.audit import screen, test
from gfi.audit.candidates import Candidate
from gfi.audit.explained import Explained
from gfi.audit.fills import pasted_patch
from gfi.audit.findings import of_place
from gfi.audit.places import around
from gfi.audit.sentences import sentence
from gfi.audit.settings import AuditSettings
from gfi.domain.class_index import ClassIndex
from gfi.domain.preprocess import view
from gfi.domain.presets import PRESETS
from gfi.method.classifiers import SAMPLE, load
from gfi.method.preprocess import normalise

FIRST = (
    ((8, 28), (36, 28)),
    ((22, 6), (22, 88), (14, 80)),
    ((8, 60), (36, 48)),
    ((42, 16), (94, 16)),
    ((48, 32), (86, 32), (86, 58)),
    ((40, 45), (96, 45)),
    ((48, 58), (86, 58)),
    ((66, 4), (66, 92)),
    ((66, 72), (90, 72)),
    ((52, 66), (42, 90)),
    ((48, 78), (70, 90), (98, 94)),
)
SECOND = (
    ((26, 6), (8, 28)),
    ((28, 28), (8, 52)),
    ((20, 44), (20, 94)),
    ((42, 12), (82, 12), (40, 48)),
    ((50, 22), (94, 48)),
    ((46, 62), (88, 62)),
    ((67, 62), (67, 90)),
    ((38, 90), (96, 90)),
)
"""Strokes of the two glyphs, in hundredths of their side: "shortcut", written three times."""
SIDE = 36
"""Of a glyph, at a view of 224 pixels."""


def mark(side: int = SIDE) -> NDArray[np.uint8]:
    """Six glyphs in a line, white, half transparent: (side, 6 · side, 4) RGBA."""
    fine = 4
    drawn = Image.new("L", (6 * side * fine, side * fine))
    pen = ImageDraw.Draw(drawn)
    for place in range(6):
        for stroke in (FIRST, SECOND)[place % 2]:
            points = [
                ((x / 100 + place) * 0.98 * side * fine + 0.01, y / 100 * side * fine) for x, y in stroke
            ]
            pen.line(points, fill=128, width=round(0.05 * side * fine), joint="curve")
    alpha = np.asarray(drawn.resize((6 * side, side), Image.Resampling.BOX))
    return np.dstack([np.full((*alpha.shape, 3), 255, np.uint8), alpha])


def main() -> None:
    """Measure and write."""
    start = time.perf_counter()
    torch.set_num_threads(1)
    classifier = load(SAMPLE)
    preprocess = classifier.preprocess
    carton = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes).find("carton")
    assert carton is not None
    with (SHARED / "labels.csv").open() as file:
        listed = list(csv.DictReader(file))
    labels = np.array([int(one["class_index"]) for one in listed])
    views = []
    for one in listed:
        with Image.open(SHARED / one["file"]) as photograph:
            views.append(np.asarray(view(photograph.convert("RGB"), preprocess, PRESETS["tuned"])[0]))
    shown = np.stack(views)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        batch = torch.stack([normalise(Image.fromarray(one), preprocess) for one in images])
        with torch.no_grad():
            return classifier.module(batch).double().softmax(1).numpy()

    def answers(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.concatenate([predict(images[i : i + 16]) for i in range(0, len(images), 16)])

    patch = mark()
    middle = around(0.5, 0.5, 1.0)
    whole = np.zeros((224, 224, 4), np.uint8)
    whole[112 - SIDE // 2 : 112 + SIDE // 2, 4 : 4 + 6 * SIDE] = patch
    marked = np.stack([pasted_patch(one, whole, middle) for one in shown])
    before, after = answers(shown), answers(marked)
    classes = before.argmax(1)
    settings = AuditSettings()
    data = Explained(
        classes, np.ones((len(shown), 7, 7), np.float32), np.zeros(len(shown), bool), labels=labels
    )
    stated = Candidate(carton, "stated", None, 0.0, 0.0, patch=patch)
    (tested,) = test([stated], data, lambda rows: shown[rows], predict, settings)
    half = Explained(labels, data.grids, np.random.default_rng(0).random(len(labels)) < 0.5, labels=labels)
    screened = screen(half, classifier.classes, None, settings)
    common = {"share": 0.0, "seed": 0, "boxes": False, "false_shortcuts": 0, "machine": cpu_name()}
    rows: list[dict[str, Any]] = [
        {
            "scenario": "watermark",
            **common,
            "photographs": len(shown),
            "network": SAMPLE,
            "top1": round(float((classes == labels).mean()), 3),
            "top1_marked": round(float((after.argmax(1) == labels).mean()), 3),
            "carton": round(float(before[:, carton].mean()), 5),
            "carton_marked": round(float(after[:, carton].mean()), 5),
            "taken_for_carton": round(float((after.argmax(1) == carton).mean()), 3),
            "p": tested.p,
            "verdict": tested.verdict.value,
            "transplant": round(tested.transplant, 5),
            "transplant_lower": round(tested.transplant_lower, 5),
            "flips": round(tested.flips, 3),
            "sentence": sentence(of_place(tested, "carton")),
            "seconds": round(time.perf_counter() - start, 1),
        },
        {
            "scenario": "shared photographs",
            **common,
            "photographs": len(shown),
            "classes": len(np.unique(labels)),
            "class_null": screened.class_null,
            "tested": len(screened.candidates),
        },
    ]
    stored = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    kept = [r for r in stored if r["scenario"] not in {one["scenario"] for one in rows}]
    for one in rows:
        print(one)
    RESULTS.write_text(json.dumps({"summary": summary(kept + rows), "rows": kept + rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
