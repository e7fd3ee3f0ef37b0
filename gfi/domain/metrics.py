"""The catalogue of metrics: each is declared here once and computed by the file of its name in `gfi/metrics/`.

The columns of the results, the sort keys, help texts, report and dashboard are made from it. A new metric is an
entry here, a file `gfi/metrics/<name>.py` with a function `measure`, a migration that adds its columns, a test and a
line in the docs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PRIMARY_METHOD = "gfi"
"""The method whose results a job counts. Other methods computed in the same job have result rows of their own."""

ALGORITHM_VERSION = 2  # `target_lost` by shifted copies
"""Raised by one when a change of the code changes masks or statuses of the same recipe; in `JobConfig.question`."""


@dataclass(frozen=True)
class Column:
    """A number of a result: its name in the tables and files, its title, and its meaning as a phrase."""

    name: str
    title: str
    meaning: str
    better: Literal["higher", "lower"] | None = None
    per_class: bool = False
    """Defined for each class and then averaged over classes."""
    binary: bool = False
    """0 or 1 of each image."""
    bounded: bool = True
    """In [0, 1] for each image."""

    @property
    def sentence(self) -> str:
        """The meaning, and whether higher or lower is better."""
        return self.meaning + (f"; {self.better} is better" if self.better else "")


@dataclass(frozen=True)
class Metric:
    """A metric that a job can ask for.

    needs: "network", forward passes; "boxes", ground-truth boxes of the class; "mask", the mask alone; "grids", masks
    of grids of the job's images, for a sample of them. version: raised by one when a change of the code changes the
    numbers of the same mask.
    """

    name: str
    needs: Literal["network", "boxes", "mask", "grids"]
    columns: tuple[Column, ...]
    version: int = 1


def _metric(
    name: str,
    needs: Literal["network", "boxes", "mask"],
    better: Literal["higher", "lower"] | None,
    title: str,
    meaning: str,
    version: int = 1,
) -> Metric:
    """A metric with one column of the same name."""
    return Metric(name, needs, (Column(name, title, meaning, better),), version)


CATALOGUE: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric(
            "deletion",
            "network",
            "lower",
            "Deletion",
            "area under the probability curve while the marked pixels are removed first",
        ),
        _metric(
            "insertion",
            "network",
            "higher",
            "Insertion",
            "area under the probability curve while the marked pixels are inserted first",
        ),
        _metric(
            "average_drop",
            "network",
            "lower",
            "Average drop",
            "relative drop of the probability on image × mask",
        ),
        _metric(
            "energy_in_box",
            "boxes",
            "higher",
            "Energy in box",
            "share of the mask's mass inside the boxes of the class",
            version=2,  # boxes are fitted to the photograph, and chosen by their own labels
        ),
        Metric(
            "pointing",
            "boxes",
            (
                Column(
                    "pointing_hit",
                    "Pointing, 15 px",
                    "the strongest point is within 15 px of a box of the class",
                    "higher",
                    per_class=True,
                    binary=True,
                ),
                Column(
                    "pointing_hit_0",
                    "Pointing, 0 px",
                    "the strongest point is inside a box of the class",
                    "higher",
                    per_class=True,
                    binary=True,
                ),
            ),
            version=2,  # as energy_in_box
        ),
        _metric(
            "iou_box",
            "boxes",
            "higher",
            "IoU of boxes",
            "of the box around the mask at 1.5 times its mean with the best box of the class",
            version=2,  # boxes are fitted as for energy_in_box, and are whole pixels
        ),
        _metric(
            "iou_region",
            "boxes",
            "higher",
            "IoU of regions",
            "of the pixels above 1.5 times the mask's mean with the region of the class",
        ),
        Metric(
            "localisation",
            "boxes",
            (
                Column(
                    "localisation_error",
                    "Localisation error",
                    "the box around the mask at 1.5 times its mean overlaps no box of the class by more than half",
                    "lower",
                    binary=True,
                ),
            ),
        ),
        _metric("entropy", "mask", None, "Entropy", "of the mask's mass; 1 for an even spread"),
        _metric(
            "average_gain",
            "network",
            "higher",
            "Average gain",
            "rise of the probability on image × mask, relative to the rise that is possible",
        ),
        Metric(
            "road",
            "network",
            (
                Column(
                    "road_deletion",
                    "ROAD deletion",
                    "mean probability while marked pixels are removed first and imputed from their neighbours",
                    "lower",
                ),
                Column(
                    "road_insertion",
                    "ROAD insertion",
                    "mean probability while only marked pixels stay and the rest is imputed from them",
                    "higher",
                ),
            ),
        ),
        Metric(
            "photograph_fill",
            "network",
            (
                Column(
                    "deletion_photograph",
                    "Deletion, photograph",
                    "area under the probability curve while another photograph replaces the marked pixels first",
                    "lower",
                ),
                Column(
                    "insertion_photograph",
                    "Insertion, photograph",
                    "area under the probability curve while the marked pixels replace another photograph first",
                    "higher",
                ),
            ),
        ),
        Metric(
            "grid_pointing",
            "grids",
            (
                Column(
                    "grid_pointing",
                    "Grid pointing",
                    "share of the mask's mass in the image's cell of a grid of four images; 1/4 by chance",
                    "higher",
                ),
                Column(
                    "grid_hit",
                    "Grid pointing, maximum",
                    "the strongest point is in the image's cell of a grid of four images",
                    "higher",
                    binary=True,
                ),
            ),
        ),
    )
}
"""Every metric by name, in the order in which they are shown."""

BASE_COLUMNS: tuple[Column, ...] = (
    Column("probability", "Probability", "of the target class, on the whole photograph"),
    Column("kept", "Kept", "target probability when only the marked part is kept", "higher"),
    Column("removed", "Removed", "target probability when the marked part is removed", "lower"),
    Column("area", "Area", "share of the image that the mask covers"),
    Column("iterations", "Iterations", "optimiser steps", bounded=False),
)
"""The numbers that every explained image has, whichever metrics were requested."""

METRIC_COLUMNS: tuple[Column, ...] = tuple(
    column for metric in CATALOGUE.values() for column in metric.columns
)
COLUMNS: Mapping[str, Column] = {column.name: column for column in (*BASE_COLUMNS, *METRIC_COLUMNS)}


def is_bounded(name: str) -> bool:
    """Whether the numbers of a column lie in [0, 1]; False for a column that this version does not know."""
    return name in COLUMNS and COLUMNS[name].bounded


METRICS = tuple(column.name for column in METRIC_COLUMNS)
"""The metric columns of a result: they can be filtered, sorted and averaged over `ok` images."""
NUMBERS = tuple(COLUMNS)
"""Everything a gallery can be sorted by."""
