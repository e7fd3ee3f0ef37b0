"""`gfi reproduce` on data that can be shipped: `make bench-reproduce`.

The datasets of the paper and the weights of VGG-19 cannot be had here. So the commands run as a user would type them,
on a stack of their own (`gfi up`), on two stand-ins in the on-disk layout of ILSVRC:

    shapes        drawn shapes (`gfi.samples.planted`) without a mark, 30 a class to test and 12 a class to choose the
                  threshold on, and the classifier of shapes
    photographs   the bundled photographs whose label is a class of ImageNet, and EfficientNet-Lite0; no training images

and FGSM on 100 of the shapes and on all bundled photographs with their boxes.

    python -m benchmarks.reproduce [--per-class 30] [NAME …]        names: those of RUNS

Each result is written when it is known; results of runs that are not named are kept.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.machine import cpu_name
from gfi import samples
from gfi.samples import planted

OUTPUT = Path(__file__).parent / "results" / "reproduce.json"
PLAIN = planted.Plant("none", None, 0.0)
TESTED, DRAWN = 2, 3
"""The parts of the drawn dataset; 0 and 1 are those of the training and of `gfi demo`."""


def annotation(label: str, boxes: list[list[float]], size: tuple[int, int]) -> str:
    """An annotation in ILSVRC's XML: zero-based, both ends inside. size: (H, W). boxes: half-open."""
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{round(left)}</xmin><ymin>{round(top)}</ymin>"
        f"<xmax>{round(right) - 1}</xmax><ymax>{round(bottom) - 1}</ymax></bndbox></object>"
        for left, top, right, bottom in boxes
    )
    stated = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    return f"<annotation>{stated}{objects}</annotation>"


def _place(root: Path, split: str, name: str) -> Path:
    """The path of an image; its annotation is written beside by `_annotate`."""
    image = root / "ILSVRC/Data/CLS-LOC" / split / f"{name}.JPEG"
    image.parent.mkdir(parents=True, exist_ok=True)
    return image


def _annotate(root: Path, split: str, name: str, text: str) -> None:
    file = root / "ILSVRC/Annotations/CLS-LOC" / split / f"{name}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def write_shapes(root: Path, per_class: int) -> Path:
    """Drawn shapes in the layout of ILSVRC, with training images."""
    for split, part, count in (("val", TESTED, per_class), ("train", DRAWN, max(1, per_class * 2 // 5))):
        images = planted.draw_images(planted.DEMO_SEED, count, PLAIN, part)
        for number, (pixels, index, box) in enumerate(
            zip(images.pixels, images.labels, images.boxes, strict=True), 1
        ):
            label = planted.CLASSES[index]
            name = f"ILSVRC2012_val_{number:08d}" if split == "val" else f"{label}/{label}_{number}"
            Image.fromarray(pixels).save(_place(root, split, name), "JPEG", quality=95, subsampling=0)
            _annotate(root, split, name, annotation(label, [box.tolist()], pixels.shape[:2]))
    return root


def write_photographs(root: Path, per_class: int) -> Path:
    """The bundled photographs that have a label, in the layout of ILSVRC; no training images."""
    rows = [json.loads(line) for line in samples.manifest().read_text().splitlines()]
    for number, row in enumerate((row for row in rows if row["label"]), 1):
        photograph = samples.manifest().parent / row["key"]
        name = f"ILSVRC2012_val_{number:08d}"
        shutil.copyfile(photograph, _place(root, "val", name))
        with Image.open(photograph) as image:
            _annotate(root, "val", name, annotation(row["label"], row["boxes"], (image.height, image.width)))
    return root


class Run(NamedTuple):
    """write: makes the directory; None: the command's own default. model: to register and to explain with. arguments:
    of `gfi reproduce`, without directory and model."""

    write: Callable[[Path, int], Path] | None
    model: str
    arguments: tuple[str, ...]


SHAPES, LITE = str(planted.MODEL), "efficientnet-lite0"
CHEAP = "tuned,grad-cam"
"""The methods for photographs: a mask of `paper` takes a minute on two busy cores."""
RUNS = {
    "localisation, shapes": Run(
        write_shapes,
        SHAPES,
        ("imagenet-localisation", "--methods", "paper,released,tuned,grad-cam,rise"),
    ),
    "adversarial, shapes": Run(
        write_shapes,
        SHAPES,
        ("adversarial", "--images", "100", "--epsilon", "0,1,4,8", "--methods", "paper,tuned,grad-cam"),
    ),
    "localisation, photographs": Run(write_photographs, LITE, ("imagenet-localisation", "--methods", CHEAP)),
    "adversarial, photographs": Run(None, LITE, ("adversarial", "--epsilon", "0,8", "--methods", CHEAP)),
}


@contextmanager
def stack(home: Path) -> Iterator[Callable[..., str]]:
    """`gfi` on a stack of its own in `home`, which is stopped afterwards."""
    environment = {**os.environ, "GFI_HOME": str(home)}

    def gfi(*arguments: str) -> str:
        command = [sys.executable, "-m", "gfi.cli.main", *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    gfi("up", "-d")
    try:
        yield gfi
    finally:
        gfi("down")


def measure(name: str, gfi: Callable[..., str], folder: Path, per_class: int) -> dict[str, Any]:
    """The report of one run, as `gfi reproduce --json` prints it."""
    run = RUNS[name]
    gfi("models", "add", run.model)
    directory = () if run.write is None else (str(run.write(folder / run.write.__name__, per_class)),)
    if directory and run.arguments[0] == "adversarial":
        directory = (f"imagenet:{directory[0]}?split=val",)
    model = Path(run.model).stem if run.model.endswith(".toml") else run.model
    printed = gfi("reproduce", *run.arguments, *directory, "--model", model, "--json")
    report: dict[str, Any] = json.loads(printed.replace(f"{folder}/", ""))
    return {key: value for key, value in report.items() if key != "jobs"} | {"machine": cpu_name()}


def main() -> None:
    """Measure, and write each result when it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gfi-reproduce-") as folder, stack(Path(folder) / "home") as gfi:
        for name in given.names or RUNS:
            report = measure(name, gfi, Path(folder), given.per_class)
            known = json.loads(given.output.read_text()) if given.output.exists() else {}
            given.output.write_text(json.dumps(known | {name: report}, indent=1, ensure_ascii=False) + "\n")
            print(name, flush=True)


if __name__ == "__main__":
    main()
