"""ImageNet's boxes as its localisation challenge publishes them: one CSV file for all images."""

import csv
from dataclasses import dataclass
from pathlib import Path

from gfi.datasets.annotations.boxes import ImageBoxes, RawBox, decide, fractional
from gfi.datasets.errors import DatasetError


@dataclass(frozen=True)
class Solution:
    """One row: the WordNet id of its first box, and its boxes."""

    label: str | None
    boxes: ImageBoxes


def read_localisation(path: Path) -> dict[str, Solution]:
    """LOC_val_solution.csv or LOC_train_solution.csv: image id → its boxes, labelled with WordNet ids.

    A row that is not `id,wordnet left top right bottom …` has the reason in place of boxes. About 800 bytes per image
    in memory: 40 MB for the 50,000 of val. DatasetError: the file cannot be read.
    """
    solutions: dict[str, Solution] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, row in enumerate(csv.reader(file), 1):
                if row and not (line == 1 and row[0] == "ImageId"):
                    words = row[1].split() if len(row) > 1 else []
                    solutions[row[0]] = Solution(
                        words[0] if words else None, _boxes(words, f"{path} line {line}")
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    return solutions


def _boxes(words: list[str], place: str) -> ImageBoxes:
    try:
        if not words or len(words) % 5:
            raise ValueError(f"{len(words)} words")
        raw = []
        for at in range(0, len(words), 5):
            left, top, right, bottom = map(float, words[at + 1 : at + 5])
            raw.append(RawBox(words[at], left, top, right, bottom))
        sides = [side for box in raw for side in (box.left, box.top, box.right, box.bottom)]
        return decide(raw, None if fractional(sides) else "pixel", (0, 1))
    except (ValueError, OverflowError, DatasetError) as error:
        return ImageBoxes(error=f"{place}: not `id,wordnet left top right bottom …`: {error}")
