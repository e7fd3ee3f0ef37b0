"""ImageNet's boxes as its localisation challenge publishes them: one CSV file for all images."""

import csv
from pathlib import Path

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError


def read_localisation(path: Path) -> dict[str, tuple[Box, ...]]:
    """LOC_val_solution.csv or LOC_train_solution.csv: image id → its boxes, labelled with WordNet ids.

    About 600 bytes an image in memory: 30 MB for the 50,000 of val.
    """
    found: dict[str, tuple[Box, ...]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.reader(file), 1):
                if line == 1 and row[:1] == ["ImageId"]:
                    continue
                try:
                    found[row[0]] = _prediction(row[1])
                except (IndexError, ValueError, DatasetError) as error:
                    raise DatasetError(
                        f"{path} line {line}: not `id,wordnet left top right bottom …`: {error}"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    return found


def _prediction(text: str) -> tuple[Box, ...]:
    words = text.split()
    if not words or len(words) % 5:
        raise ValueError(f"{len(words)} words")
    boxes = []
    for i in range(0, len(words), 5):
        left, top, right, bottom = map(float, words[i + 1 : i + 5])
        boxes.append(Box(words[i], left, top, right + 1, bottom + 1))
    return tuple(boxes)
