"""What experiments have in common: their images, the jobs that they ask for, and the tables that they print."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.decode import orientation_of
from gfi.datasets.listing import with_options
from gfi.domain.digests import digest
from gfi.domain.geometry import Rectangle
from gfi.domain.intervals import Interval
from gfi.domain.methods import OWN, method_named
from gfi.domain.presets import PRESETS
from gfi.domain.statuses import ImageStatus
from gfi.jobs.class_summary import share


@dataclass(frozen=True)
class Example:
    """One image of an experiment. key: below the root of its listing. boxes: of all its objects, as the files say."""

    key: str
    label: str | None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The images of one job. root: the folder of the keys. notes: what was left out, and why, as sentences."""

    name: str
    root: Path
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> str:
        """Write the manifest of these images into `folder`, and return its spec. The name of the file contains the
        digest of its content, so the same images are the same dataset and an earlier job over them is found again."""
        text = "".join(json.dumps(_row(example)) + "\n" for example in self.examples)
        file = folder / f"{self.name.replace(' ', '-')}-{digest([text])[:12]}.jsonl"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(file)
        return with_options(f"manifest:{file.resolve()}", root=str(self.root), columns="")


def _row(example: Example) -> dict[str, Any]:
    frame = next((box.frame for box in example.boxes if box.frame is not None), None)
    size = {} if frame is None else {"height": frame[0], "width": frame[1]}
    boxes = [replace(box, frame=None).to_json() for box in example.boxes]
    return {"key": example.key, "label": example.label, "boxes": boxes, **size}


@dataclass(frozen=True)
class Ask:
    """A job that an experiment needs. method: as its tables name it. options: of the job, without its dataset."""

    method: str
    listing: Listing
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Masked:
    """An image with its mask, as a job left it.

    mask: (h, w) at the input size; None where the image has none. size: (H, W) of the photograph after EXIF
    orientation. seen: the part that the network saw, in its pixels. file: the photograph, to read its orientation from.
    """

    example: Example
    status: ImageStatus
    mask: NDArray[np.float32] | None = None
    size: tuple[int, int] | None = None
    seen: Rectangle | None = None
    prediction: int | None = None
    file: Path | None = None

    @cached_property
    def orientation(self) -> int:
        """By EXIF, of the photograph as it is stored."""
        return 1 if self.file is None else orientation_of(self.file)

    def regions(self, wanted: Callable[[Box], bool] = lambda box: True) -> list[Rectangle]:
        """The ground-truth boxes in pixels of the upright photograph; [] where they are not usable."""
        boxes = [box for box in self.example.boxes if wanted(box)]
        if self.size is None or not boxes:
            return []
        turned = any(box.frame not in (None, self.size) for box in boxes)
        return [box.sides for box in settle_boxes(boxes, self.size, self.orientation if turned else 1).boxes]


Read = Callable[[Ask], Iterator[Masked]]
"""The images of an ask with their masks, one for each example of its listing, in any order."""


@dataclass(frozen=True)
class Table:
    """A table of a report; cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """The result of an experiment. numbers: the same unrounded, as JSON values. differences: between the paper's set-up
    and this run, as sentences."""

    title: str
    tables: tuple[Table, ...]
    differences: tuple[str, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        tables = [
            {"title": one.title, "columns": list(one.columns), "rows": [list(row) for row in one.rows]}
            for one in self.tables
        ]
        return {
            "title": self.title,
            "tables": tables,
            "differences": list(self.differences),
            "numbers": dict(self.numbers),
        }


class Experiment(Protocol):
    """An experiment over a directory that was read."""

    name: str

    def asks(self) -> Sequence[Ask]:
        """The jobs that it needs, in the order in which they are to run."""
        ...

    def report(self, read: Read) -> Report:
        """Its tables, from the masks of those jobs."""
        ...


def options_of(method: str) -> dict[str, Any]:
    """The options of a job for a preset or another method. MethodError for an unknown name.

    >>> options_of("paper"), options_of("gradcam")
    ({'method': 'gfi', 'preset': 'paper'}, {'method': 'grad-cam'})
    """
    if method in PRESETS:
        return {"method": OWN, "preset": method}
    return {"method": method_named(method)}


def percent(share: float, interval: Interval | None = None) -> str:
    """A share in percent, with its interval at 95 %.

    >>> percent(0.382, Interval(0.37, 0.39)), percent(float("nan"))
    ('38.2 (37.0 to 39.0)', '–')
    """
    if share != share:
        return "–"
    bounds = "" if interval is None else f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    return f"{100 * share:.1f}{bounds}"


def share_of(hits: NDArray[np.float64] | NDArray[np.bool_]) -> tuple[float, Interval | None]:
    """The share of hits (n,), each 0 or 1, with Wilson's interval at 95 %; not-a-number without an image.

    >>> percent(*share_of(np.zeros(10)))
    '0.0 (0.0 to 27.8)'
    """
    if not len(hits):
        return math.nan, None
    found = share(int(hits.sum()), len(hits))
    return found.mean, None if found.low is None or found.high is None else Interval(found.low, found.high)


def usable(found: int, listed: int) -> str:
    """How many images have the status `ok`, of how many.

    >>> usable(9, 10)
    '9 of 10'
    """
    return f"{found:,} of {listed:,}"
