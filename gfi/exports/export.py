"""What is exported: the job, the options, and the results with their masks and photographs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.decode import decode_for
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.sources import Source, open_source, place_of
from gfi.datasets.tables import URL
from gfi.domain.digests import JSON
from gfi.domain.geometry import place
from gfi.domain.job import UNVERIFIED
from gfi.domain.metrics import METRIC_COLUMNS, PRIMARY_METHOD
from gfi.domain.preprocess import Preprocess
from gfi.domain.result import Result
from gfi.exports.errors import ExportError
from gfi.exports.keys import safe_path
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.parts import Explained
from gfi.store.result_query import filters_of, view_of
from gfi.store.settings import Settings

Needs = Literal["rows", "masks", "photographs"]
"""What a format reads: the tables; the parts too; the dataset too."""

COMPUTED = "computed by gfi"


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export.

    format: a name in `gfi.exports.formats.FORMATS`. view: which results, as a query or the name of a saved
    view (`gfi.store.result_query`). threshold: in (0, 1); the
    region of a mask is where it is at least this. images: what is written in front of an image's key in formats that
    refer to photographs; None: where the dataset lies. photographs: put the photographs into the archive.
    """

    format: str
    view: str = ""
    threshold: float = 0.5
    images: str | None = None
    photographs: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ExportError(f"the threshold is between 0 and 1, not {self.threshold}")

    def to_json(self) -> JSON:
        """As a task keeps them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ExportOptions":
        """What `to_json` returned."""
        return cls(**value)


class Item:
    """One exported result."""

    def __init__(self, export: "Export", result: Result, explained: Explained | None) -> None:
        if explained is not None:
            stored = explained.result
            result = replace(result, original_size=stored.original_size, box=stored.box, window=stored.window)
        self.result = result
        self._export, self._explained = export, explained

    @cached_property
    def path(self) -> str:
        """The image's key as a safe relative path."""
        return safe_path(self.result.key)

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """(h, w) in [0, 1] at the network's input size; None where there is none."""
        return None if self._explained is None else self._explained.mask

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the photograph after EXIF orientation; None if it is not known."""
        return self.result.original_size

    def placed(self) -> NDArray[np.float32] | None:
        """The mask on the photograph, (H, W) in [0, 1]; None where there is none."""
        if self.mask is None or self.size is None:
            return None
        return place(self.mask, self.size, self.result.box_at(self.size))

    def region(self) -> NDArray[np.bool_] | None:
        """(H, W), where the mask on the photograph is at least the threshold; None where there is none."""
        placed = self.placed()
        return None if placed is None else placed >= self._export.options.threshold

    @cached_property
    def bytes(self) -> bytes | None:
        """The photograph's file; None if it cannot be read, or is not the one that was explained."""
        source = self._export.source
        if source is None:
            return None
        try:
            fetched = source.fetch(self.result.key, self.result.version)
        except Unavailable:
            raise
        except DatasetError:
            return None
        return None if fetched.changed else fetched.data

    def photograph(self) -> NDArray[np.uint8] | None:
        """(H, W, 3) or (H, W), after EXIF orientation; None as for `bytes`."""
        if self.bytes is None:
            return None
        try:
            return decode_for(self.bytes, self._export.input).rgb
        except DatasetError:
            return None

    def address(self) -> str:
        """Where the photograph lies, for formats that refer to it."""
        key = self.result.key
        elsewhere = self._export.options.images is None and (key.startswith("/") or URL.match(key))
        return key if elsewhere else self._export.prefix + key

    @property
    def class_name(self) -> str:
        """The name of the class explained; its number where it has no name, the label where there is no class."""
        result = self.result
        if result.target is None:
            return result.label or "mask"
        return self._export.name(result.target) or str(result.target)

    def row(self) -> dict[str, Any]:
        """The result as one row of a table, by `Export.columns`."""
        result, export = self.result, self._export
        values: dict[str, Any] = {
            "row": result.row,
            "key": result.key,
            "label": result.label,
            "status": str(result.status),
            "method": export.job.config.method if result.method == PRIMARY_METHOD else result.method,
            "target_rank": result.target_rank,
            "target": result.target,
            "target_name": export.name(result.target),
            "prediction": result.prediction,
            "prediction_name": export.name(result.prediction),
            "probability": result.probability,
            "kept": result.kept,
            "removed": result.removed,
            "area": result.area,
            "iterations": result.iterations,
            **{column.name: result.metrics.get(column.name) for column in METRIC_COLUMNS},
            "error": result.error,
            "error_class": result.error_class,
            "version": result.version,
            "from_job": result.from_job,
            "provenance": export.provenance,
        }
        values |= {f"column.{name}": result.columns.get(name) for name in export.kinds}
        return values


@dataclass
class Export:
    """A job and the options of its export; reads the results."""

    job: queries.Job
    options: ExportOptions
    database: Database = field(repr=False)
    settings: Settings = field(repr=False)
    bucket: Bucket = field(repr=False)

    @cached_property
    def kinds(self) -> Mapping[str, Any]:
        """The job's further columns, with their types."""
        return queries.kinds_of(self.job.metadata)

    @cached_property
    def filters(self) -> queries.Filters:
        """The filters of the view. Raises ExportError."""
        try:
            return filters_of(self.database, self.job, view_of(self.database, self.job, self.options.view))
        except ValueError as error:
            raise ExportError(f"view: {error}") from None

    @cached_property
    def source(self) -> Source | None:
        """The dataset; None where it cannot be opened any more."""
        try:
            return open_source(self.job.config.dataset.spec, self.settings)
        except Unavailable:
            raise
        except DatasetError:
            return None

    @cached_property
    def input(self) -> Preprocess | None:
        """The input of the job's network, which says how a photograph is shown."""
        return Preprocess.known(self.job.model)

    @cached_property
    def prefix(self) -> str:
        """What is written in front of a key."""
        if self.options.images is not None:
            return self.options.images
        return place_of(self.job.config.dataset.spec)

    @property
    def provenance(self) -> str:
        """Where the masks come from, in words."""
        return COMPUTED if self.job.config.imported is None else UNVERIFIED

    def origin(self) -> JSON:
        """What made the masks, for the head of a file."""
        config = self.job.config
        return {
            "job": self.job.id,
            "name": self.job.name,
            "dataset": config.dataset.spec,
            "method": config.method,
            "preset": config.preset,
            "model": config.model.reference,
            "model_digest": config.model.digest,
            "method_digest": config.method_digest,
            "view": self.options.view,
            "threshold": self.options.threshold,
            "provenance": self.provenance,
        }

    def name(self, index: int | None) -> str | None:
        """The name of a class of the model."""
        names = self.job.class_names
        return names[index] if index is not None and 0 <= index < len(names) else None

    def items(self, needs: Needs, after: Sequence[Any] | None, at_once: int) -> Iterator[list[Item]]:
        """The results behind a position, in stretches of about `at_once`; all results of an image are in one.

        after: (row, method, rank) of the last result that is done.
        """
        cache = PartCache(self.database, self.bucket)
        stretch: list[Item] = []
        for result in self._results(after, at_once):
            if len(stretch) >= at_once and result.row != stretch[-1].result.row:
                yield stretch
                stretch = []
            stretch.append(Item(self, result, None if needs == "rows" else _explained(cache, result)))
        if stretch:
            yield stretch

    def _results(self, after: Sequence[Any] | None, at_once: int) -> Iterator[Result]:
        place = None if after is None else tuple(after)
        while True:
            page = queries.list_results(
                self.database, self.job.id, filters=self.filters, limit=at_once, after=place
            )
            yield from page
            if len(page) < at_once:
                return
            place = queries.page_key(page[-1])


def _explained(cache: PartCache, result: Result) -> Explained | None:
    try:
        return cache.explanation(result)
    except NotFound:  # the part is no longer in the bucket
        return None
