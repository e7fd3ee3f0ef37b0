"""Writes the results of one import: a mask, the photograph's size and properties, and box metrics of each image."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfi import __version__
from gfi.datasets.annotations.boxes import Box, ImageBoxes
from gfi.datasets.annotations.settle import UNSEEN_REGION, note_on, region_of, settle_boxes
from gfi.datasets.decode import Photograph, decode_for
from gfi.datasets.errors import DatasetError, DecodeError, Unavailable
from gfi.datasets.listing import mask_image_reader
from gfi.datasets.manifest import Entry, Manifest
from gfi.datasets.sources import Source, open_source
from gfi.domain.class_index import ClassIndex
from gfi.domain.digests import JSON
from gfi.domain.errors import MethodError
from gfi.domain.geometry import Rectangle, whole
from gfi.domain.ids import new_id
from gfi.domain.metrics import CATALOGUE
from gfi.domain.preprocess import Preprocess, view_box
from gfi.domain.queues import import_queue
from gfi.domain.records import PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import JobState
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.imports.errors import ImportRefused
from gfi.imports.mask_files import OpenMasks
from gfi.imports.mask_values import as_mask, of_whole_numbers
from gfi.jobs.task_run import Interrupted
from gfi.metrics.iou_region import is_unseen
from gfi.metrics.pointing import ordinary
from gfi.metrics.sample import Sample, measure
from gfi.report.photograph_properties import properties_of, thumbnail
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

LEASE_S = 60.0
"""How long a shard of a killed import waits before `resume_import` takes it."""
POLL_S = 1.0
MEASURED = ("energy_in_box", "entropy", "iou_box", "iou_region", "localisation", "pointing")
"""The metrics of an imported mask: those that need no network."""
SCALED = "its values were not in [0, 1]: the positive part was divided by its maximum"
FAINT = (
    "its values are 0 and 1, and other masks of this import have larger ones: 1 was read as a share of 255, of 65,535 "
    "with 16 bits"
)
NEAR_EMPTY, NEAR_FULL = 0.001, 0.95
"""The shares of the image below and above which a mask marks nothing, or everything."""


@dataclass(frozen=True)
class Imported:
    """The job, its images, and how many of them have a mask."""

    job_id: str
    images: int
    with_mask: int


class Overtaken(Interrupted, StoreError):
    """The lease of a shard was lost, so another attempt goes on with the job."""


@contextlib.contextmanager
def _closing(database: Database, job_id: str) -> Iterator[None]:
    """Cancels the job where another attempt would fail too. After an interruption, an outage or a fault of this machine
    it stays as it is: `resume_import` goes on with it."""
    try:
        yield
    except (Interrupted, Transient):
        raise
    except (StoreError, DatasetError, MethodError):
        with contextlib.suppress(StoreError):
            ledger.cancel_job(database, job_id, actor="import")
        raise


class Network(Protocol):
    """Measures masks by a network."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names in the catalogue."""
        ...

    def measure(
        self, photograph: Photograph, mask: NDArray[np.float32], target: int, box: Rectangle
    ) -> Mapping[str, float]:
        """Numbers by column. box: what the mask shows, in original pixels. MethodError where the network cannot be
        shown this photograph."""
        ...


class ImportRun:
    """Writes the results of one import."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        settings: Settings,
        job_id: str,
        masks: OpenMasks,
        record: JSON,
        crop: bool,
        check: Callable[[], None] = lambda: None,
        network: Network | None = None,
    ) -> None:
        self._database, self._bucket, self._job_id = database, bucket, job_id
        self._masks, self._crop, self._renewed, self._check = masks, crop, 0.0, check
        self._network = network
        self._shares: bool | None = None
        self._input: tuple[int, int] = (record["input_size"][0], record["input_size"][1])
        self._known = Preprocess.known(record)
        self._preprocess = self._known or Preprocess(self._input)
        self._classes = ClassIndex.of(record["class_names"], record["wordnet_ids"], record.get("classes", 0))
        job = queries.get_job(database, job_id)
        self._source: Source = open_source(job.config.dataset.spec, settings)

    def to_the_end(self, manifest: Manifest, progress: Callable[[int, int], None]) -> Imported:
        """Write the shards that are left, and finish the job."""
        with _closing(self._database, self._job_id):
            for claim in self._claims():
                try:
                    self._write(claim, manifest)
                except BaseException as error:
                    with contextlib.suppress(StoreError):
                        ledger.release_shard(self._database, claim, f"the import was interrupted: {error}")
                    raise
                progress(claim.stop, manifest.count)
        ledger.finish_jobs(self._database)
        return imported_of(self._database, self._job_id)

    def _claims(self) -> Iterator[ShardClaim]:
        """The shards of the job, one at a time; those that a killed import held, once their lease has run out."""
        queue = import_queue(self._job_id)
        while True:
            claim = ledger.claim_shard(self._database, "import", queue, LEASE_S)
            if claim is not None:
                self._renewed = time.monotonic()
                yield claim
                continue
            progress = queries.job_progress(self._database, self._job_id)
            if progress.done == progress.total:
                return
            if self._state() is not JobState.RUNNING:
                raise self._lost()
            self._check()
            ledger.expire_leases(self._database)
            time.sleep(POLL_S)

    def _write(self, claim: ShardClaim, manifest: Manifest) -> None:
        """Write and commit the results of a shard."""
        rows, shares = [], partial(self._are_shares, claim, manifest)
        for entry in manifest.rows(claim.start, claim.stop):
            self._keep(claim)
            rows.append(self._result(entry, shares))
        part = parts.write(self._header(claim), rows)
        key = parts.part_key(claim.job_id, claim.shard_id, claim.fence)
        self._bucket.put(key, part.data)
        made = PartRecord(new_id(), key, part.sha256, len(part.data), part.rows)
        if not ledger.commit_shard(self._database, claim, claim.stop, made, rows):
            raise self._lost()

    def _keep(self, claim: ShardClaim) -> None:
        """Check, and renew the lease in time; a shard of large photographs takes longer than one."""
        self._check()
        if time.monotonic() - self._renewed > LEASE_S / 3:
            if not ledger.renew_lease(self._database, claim, LEASE_S).held:
                raise self._lost()
            self._renewed = time.monotonic()

    def _state(self) -> JobState:
        return queries.get_job(self._database, self._job_id).state

    def _lost(self) -> StoreError:
        """Why this attempt writes no more."""
        if self._state() is JobState.CANCELLED:
            return ImportRefused(f"job {self._job_id} was cancelled while its masks were imported")
        return Overtaken(
            f"another attempt to import job {self._job_id} goes on with it; --resume {self._job_id} if that one ended"
        )

    def _header(self, claim: ShardClaim) -> parts.PartHeader:
        config = claim.config
        return parts.PartHeader(
            job_id=claim.job_id,
            shard_id=claim.shard_id,
            fence=claim.fence,
            model_digest=config.model.digest,
            method_digest=config.method_digest,
            recipe=config.recipe.to_json(),
            layers=config.layers.to_json(),
            profile={},
            align_corners=False,
            input_size=self._input,
            code_version=__version__,
            model_reference=config.model.reference,
            manifest_key=claim.manifest_key,
        )

    def _are_shares(self, claim: ShardClaim, manifest: Manifest, found: NDArray[Any]) -> bool:
        """Whether an array of zeros and ones is faint, not a mask: where a whole number of any other array of the
        import is larger. The others are read at the first such array, until one decides."""
        largest = of_whole_numbers(found)
        if largest is not None and largest > 1:
            self._shares = True
        if largest != 1:
            return False
        if self._shares is None:
            self._shares = False
            for entry in manifest:
                self._keep(claim)
                with contextlib.suppress(ImportRefused):
                    other = self._masks.find(entry.key, entry.row)
                    if other is not None and (of_whole_numbers(other) or 0) > 1:
                        self._shares = True
                        break
        return self._shares

    def _result(self, entry: Entry, shares: Callable[[NDArray[Any]], bool]) -> Result:
        """shares: whether an array of zeros and ones holds shares of its largest value."""
        target = entry.target
        if target is None and entry.label is not None:
            target = self._classes.find(entry.label)
        result = Result(
            row=entry.row,
            key=entry.key,
            status=ImageStatus.OK,
            version=entry.version,
            label=entry.label,
            target=target,
            columns=entry.columns,
        )
        try:
            found = self._masks.find(entry.key, entry.row)
            faint = found is not None and shares(found)
            values = None if found is None else as_mask(found, entry.key, faint)
        except ImportRefused as error:
            return _failed(result, str(error), "mask")
        if values is None:
            return _failed(result, "no mask of this image was imported", "no_mask")
        photograph, result = self._photograph(entry, result)
        if photograph is None:
            return result
        size = photograph.size
        box = view_box(size, self._preprocess) if self._crop else whole(size)
        grid = values.mask
        area = None if grid is None else float(grid.mean())
        result = replace(
            result,
            status=_status(grid),
            grid=grid,
            area=area,
            original_size=size,
            box=box,
            window=photograph.window,
            pixels=properties_of(photograph),
            thumbnail=thumbnail(photograph.rgb),
            error=SCALED if values.scaled else FAINT if faint else None,
            error_class="scaled" if values.scaled or faint else None,
        )
        if grid is None or result.status is not ImageStatus.OK:
            return result
        boxes = self._boxes(entry, photograph)
        if (note := note_on(boxes)) is not None:
            result = _noted(result, note.text, note.note_class)
        objects = self._objects(entry, target, boxes)
        region = region_of(objects, size)
        if region is not None and is_unseen(region, box):
            result = _noted(result, UNSEEN_REGION.text, UNSEEN_REGION.note_class)
        regions = tuple(one.sides for one in objects)
        measured = _measured(Sample(grid, target or 0, size, box, regions, region=region))
        if self._network is not None and target is not None:
            try:
                measured |= _finite(self._network.measure(photograph, grid, target, box))
            except MethodError as error:
                result = _noted(result, f"not measured by the network: {error}", "unmeasured")
        return replace(result, metrics=measured, repairs=boxes.repairs)

    def _boxes(self, entry: Entry, photograph: Photograph) -> ImageBoxes:
        """The boxes fitted to the photograph, with the regions of mask images. Outages are raised."""
        if entry.boxes_error is not None:
            return ImageBoxes(error=entry.boxes_error)
        read = mask_image_reader(self._source)
        return settle_boxes(entry.boxes, photograph.size, photograph.orientation, read)

    def _photograph(self, entry: Entry, result: Result) -> tuple[Photograph | None, Result]:
        """The photograph as the network sees it, and the result with its version; None, and why it cannot be read.

        Outages and faults of this machine are raised.
        """
        try:
            fetched = self._source.fetch(entry.key, entry.version)
        except Unavailable:
            raise
        except DatasetError as error:
            return None, _failed(result, str(error), "unreadable")
        result = replace(result, version=fetched.version)
        if fetched.changed:
            reason = f"the bytes are of version {fetched.version}, the manifest lists {entry.version}"
            return None, replace(_failed(result, reason, "changed"), status=ImageStatus.CHANGED)
        try:
            return self._decoded(fetched.data), result
        except DatasetError as error:
            return None, _failed(result, str(error), "unreadable")

    def _decoded(self, data: bytes) -> Photograph:
        """As the network sees it. Where nothing is shown to one, a preview will do for a stack of channels."""
        try:
            return decode_for(data, self._known)
        except DecodeError:
            if self._network is not None or self._known is None or self._known.channels in (1, 3):
                raise
            return decode_for(data, None)

    def _objects(self, entry: Entry, target: int | None, boxes: ImageBoxes) -> list[Box]:
        """The boxes of the explained class; difficult ones only where all are difficult."""
        mine = [b for b in boxes.boxes if target is None or self._is(b.label or entry.label, target)]
        return ordinary(mine, [b.difficult for b in mine])[0]

    def _is(self, label: str | None, target: int) -> bool:
        return label is None or self._classes.find(label) == target


def imported_of(database: Database, job_id: str) -> Imported:
    """The counts of an import whose job has ended."""
    images = queries.get_job(database, job_id).total or 0
    counts = queries.job_progress(database, job_id).by_status
    without = sum(counts.get(status, 0) for status in (*UNUSABLE, ImageStatus.NONFINITE))
    return Imported(job_id, images, images - without)


def _measured(sample: Sample) -> dict[str, float]:
    """The metrics of one mask that need no network."""
    values: dict[str, Any] = {}
    for name in MEASURED:
        if CATALOGUE[name].needs != "boxes" or sample.regions:
            values |= measure(name, sample)
    return _finite(values)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def _noted(result: Result, text: str, note_class: str) -> Result:
    """The result with one more note on it; the first note names its class."""
    text = text if result.error is None else f"{result.error}; {text}"
    return replace(result, error=text, error_class=result.error_class or note_class)


def _failed(result: Result, error: str, error_class: str) -> Result:
    return replace(result, status=ImageStatus.ERROR, error=error, error_class=error_class)


def _status(grid: NDArray[np.float32] | None) -> ImageStatus:
    if grid is None:
        return ImageStatus.NONFINITE
    area = float(grid.mean())
    if area < NEAR_EMPTY:
        return ImageStatus.EMPTY
    if area > NEAR_FULL:
        return ImageStatus.FULL
    return ImageStatus.CONSTANT if grid.min() == grid.max() else ImageStatus.OK
