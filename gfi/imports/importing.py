"""Masks that were made elsewhere become a finished job, by the process that imports them.

The dataset is listed as for any job. Each image gets the mask of its key, its photograph is read for its size, its
thumbnail and its properties, and boxes are measured. The shards of the job are on a queue of their own, so no worker
takes them; a part and a commit for each, as workers write them, so that gallery, report, audit, comparison and export
read them like any other.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi import __version__
from gfi.datasets.annotations.settle import settle_boxes
from gfi.datasets.decode import Photograph, decode
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Entry, Manifest
from gfi.datasets.sources import Source, open_source
from gfi.domain.class_index import ClassIndex
from gfi.domain.digests import JSON, canonical
from gfi.domain.geometry import Rectangle, fit, whole
from gfi.domain.ids import new_id
from gfi.domain.job import UNVERIFIED, DatasetRef, JobConfig, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.methods import METHODS
from gfi.domain.metrics import CATALOGUE
from gfi.domain.presets import PRESETS
from gfi.domain.queues import import_queue
from gfi.domain.recipes import Recipe
from gfi.domain.records import JobSpec, PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.imports.errors import ImportRefused
from gfi.imports.mask_files import OpenMasks, open_masks
from gfi.imports.mask_values import LARGEST_SIDE, as_mask
from gfi.jobs.listing_writer import Classes, Listing, Most, write_listing
from gfi.jobs.sharding import shard_bounds
from gfi.metrics.pointing import ordinary
from gfi.metrics.sample import Sample, measure
from gfi.report.photograph_properties import properties_of, thumbnail
from gfi.store import ledger, parts, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, Transient
from gfi.store.ledger.importing import begin_import
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

NO_MODEL = "none"
SHARD = 200
LEASE_S = 60.0
"""How long a shard of a killed import waits before `resume_import` takes it."""
POLL_S = 1.0
ALIKE = 20
"""If so many masks cannot be read before one can, the kind of file is wrong and no job is made."""
MEASURED = ("energy_in_box", "entropy", "iou_box", "localisation", "pointing")
"""The metrics of an imported mask: those that need no network."""
NEAR_EMPTY, NEAR_FULL = 0.001, 0.95
"""The shares of the image below and above which a mask marks nothing, or everything."""
MOST_CLASSES = 100_000
LONGEST_METHOD = 64


@dataclass(frozen=True)
class ImportRequest:
    """masks: a folder or a file. method: what made them. model: a registered model, whose classes the labels are; None:
    the labels are the classes. crop: the masks show the centre crop that the model sees, not the whole photograph."""

    masks: Path
    dataset: str
    method: str
    model: str | None = None
    crop: bool = False
    name: str = ""
    owner: str = ""


@dataclass(frozen=True)
class Imported:
    """The job, its images, and how many of them have a mask."""

    job_id: str
    images: int
    with_mask: int


def import_masks(
    database: Database,
    settings: Settings,
    bucket: Bucket,
    request: ImportRequest,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Import masks as a job that has ended. progress: (images done, all images).

    Raises ImportRefused where the masks cannot be read or none belongs to an image, and DatasetError as a listing does;
    a single unreadable mask is the error of its image.
    """
    _check_method(request.method)
    model = _model(database, request)
    with open_masks(request.masks) as masks, tempfile.TemporaryDirectory(prefix="gfi-import-") as folder:
        path = Path(folder) / "manifest.parquet"
        listing = _list(request, settings, model, path)
        manifest = Manifest.open(path)
        _check_masks(request, manifest, masks)
        record = model.record if model is not None else _record_of_labels(manifest)
        job_id = _begin(database, bucket, settings, request, model, record, listing, path)
        run = _Run(database, bucket, settings, job_id, masks, record, request.crop)
        return run.to_the_end(manifest, progress)


def resume_import(
    database: Database,
    settings: Settings,
    bucket: Bucket,
    job_id: str,
    masks: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Go on with an import that was interrupted. masks: the same folder or file again. Otherwise as `import_masks`."""
    job = queries.get_job(database, job_id)
    begun = job.config.imported
    if begun is None:
        raise ImportRefused(f"job {job.id} is no import")
    if job.state is not JobState.RUNNING or job.manifest_key is None:
        raise ImportRefused(f"job {job.id} is {job.state}; only an import that was interrupted goes on")
    if masks.name != begun["masks"]:
        raise ImportRefused(f"job {job.id} imports {begun['masks']}; this is {masks.name}")
    with open_masks(masks) as found, tempfile.TemporaryDirectory(prefix="gfi-import-") as folder:
        path = Path(folder) / "manifest.parquet"
        bucket.get_to(job.manifest_key, path)
        manifest = Manifest.open(path)
        if found.many is not None and found.many != manifest.count:
            raise ImportRefused(
                f"{masks} has {found.many:,} masks, and job {job.id} has {manifest.count:,} images"
            )
        run = _Run(database, bucket, settings, job.id, found, job.model or {}, bool(begun["crop"]))
        return run.to_the_end(manifest, progress)


@contextlib.contextmanager
def _closing(database: Database, job_id: str) -> Iterator[None]:
    """Cancels the job where its import cannot come to an end. After an interruption or an outage it stays as it is:
    `resume_import` goes on with it."""
    try:
        yield
    except (KeyboardInterrupt, Transient):
        raise
    except BaseException:
        ledger.cancel_job(database, job_id, actor="import")
        raise


def _check_method(method: str) -> None:
    if not method or len(method) > LONGEST_METHOD or not method.isprintable():
        raise ImportRefused(
            f"the method is a name of at most {LONGEST_METHOD} letters that says what made the masks"
        )
    if method in METHODS or method in PRESETS:
        raise ImportRefused(
            f"`{method}` is a method of gfi itself; name what made the masks, such as `captum-{method}`"
        )


def _model(database: Database, request: ImportRequest) -> queries.Model | None:
    if request.model is None:
        if request.crop:
            raise ImportRefused("--crop needs --model: the crop is the one that the model sees")
        return None
    model = queries.find_model(database, request.model)
    if model is None:
        raise NotFound(f"no model {request.model}; `gfi models` lists them")
    return model


def _list(request: ImportRequest, settings: Settings, model: queries.Model | None, path: Path) -> Listing:
    most = settings.max_images_per_job
    listing = write_listing(
        request.dataset,
        settings,
        path,
        classes=None if model is None else Classes.of(model.record),
        most=Most(most, f"the dataset has more than {most} images, which is GFI_MAX_IMAGES_PER_JOB"),
        check=lambda: None,
    )
    if not listing.written.count:
        raise ImportRefused(f"{request.dataset} has no images")
    return listing


def _check_masks(request: ImportRequest, manifest: Manifest, masks: OpenMasks) -> None:
    """Raises ImportRefused where the masks belong to other images; before a job is made."""
    if masks.many is not None and masks.many != manifest.count:
        raise ImportRefused(
            f"{request.masks} has {masks.many:,} masks in the order of the listing, and {request.dataset} has"
            f" {manifest.count:,} images; name masks by their keys"
        )
    refusals: list[ImportRefused] = []
    for entry in manifest:
        try:
            found = masks.find(entry.key, entry.row)
            if found is not None:
                as_mask(found, entry.key)
                return
        except ImportRefused as error:
            refusals.append(error)
            if len(refusals) == ALIKE:
                break
    if refusals:
        raise ImportRefused(f"none of the first {len(refusals)} masks can be read: {refusals[0]}")
    first = manifest.rows(0, 1)[0].key
    raise ImportRefused(
        f"no mask in {request.masks} belongs to an image of {request.dataset}, such as {first}"
    )


def _record_of_labels(manifest: Manifest) -> JSON:
    """What stands for the record of a model: the labels of the dataset as classes."""
    labels: set[str] = set()
    for table in manifest.tables(["label"]):
        labels |= {label for label in table.column("label").to_pylist() if label is not None}
        if len(labels) > MOST_CLASSES:
            raise ImportRefused(f"the dataset has more than {MOST_CLASSES:,} labels")
    names = sorted(labels)
    return {
        "reference": NO_MODEL,
        "digest": "",
        "input_size": [LARGEST_SIDE, LARGEST_SIDE],
        "classes": len(names),
        "class_names": names,
        "wordnet_ids": [],
        "layers": [],
        "parameters": 0,
    }


def _begin(
    database: Database,
    bucket: Bucket,
    settings: Settings,
    request: ImportRequest,
    model: queries.Model | None,
    record: JSON,
    listing: Listing,
    path: Path,
) -> str:
    """Upload the manifest and insert the job. Returns its id."""
    job_id, written = new_id(), listing.written
    source = open_source(request.dataset, settings)
    config = JobConfig(
        dataset=DatasetRef(source.spec, source.kind),
        model=ModelRef(NO_MODEL, "")
        if model is None
        else ModelRef(model.reference, model.digest, model.version),
        preset=request.method,
        recipe=Recipe(request.method),
        layers=Layers(NO_MODEL, (NO_MODEL,)),
        target="auto",
        metrics=MEASURED,
        features="none",
        imported={"method": request.method, "masks": request.masks.name, "crop": request.crop},
    ).to_json()
    warning = (
        f"{UNVERIFIED}: the masks were made elsewhere with {request.method} and taken from {request.masks.name}; gfi"
        " did not run the model on them"
    )
    metadata: JSON = {
        "dataset": listing.description,
        "warnings": [warning, *listing.warnings, *written.notes],
        "imported": UNVERIFIED,
    }
    if written.columns:
        metadata["columns"] = dict(written.columns)
    key = f"jobs/{job_id}/manifest-{new_id()}.parquet"
    bucket.put(key, path)
    spec = JobSpec(
        config=config,
        name=request.name,
        owner=request.owner,
        queue=import_queue(job_id),
        model=record,
        new=True,
        tags=("imported",),
    )
    job = {
        "job": job_id,
        "name": spec.name,
        "owner": spec.owner,
        "queue": spec.queue,
        "priority": spec.priority,
        "tags": list(spec.tags),
        "notify": None,
        "config": config,
        "model": record,
        "manifest": {
            "key": key,
            "sha256": written.sha256,
            "count": written.count,
            "listing": written.listing,
        },
        "facts": metadata,
    }
    bucket.put(f"jobs/{job_id}/job.json", canonical(job).encode(), "application/json")
    begin_import(
        database,
        job_id,
        replace(spec, listing_digest=written.listing),
        manifest_key=key,
        manifest_digest=written.sha256,
        total=written.count,
        shards=shard_bounds(written.count, SHARD),
        metadata=metadata,
    )
    return job_id


class _Run:
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
    ) -> None:
        self._database, self._bucket, self._job_id = database, bucket, job_id
        self._masks, self._crop, self._renewed = masks, crop, 0.0
        self._input: tuple[int, int] = (record["input_size"][0], record["input_size"][1])
        self._classes = ClassIndex.of(record["class_names"], record["wordnet_ids"], record.get("classes", 0))
        job = queries.get_job(database, job_id)
        self._source: Source = open_source(job.config.dataset.spec, settings)

    def to_the_end(self, manifest: Manifest, progress: Callable[[int, int], None]) -> Imported:
        """Write the shards that are left, and finish the job."""
        with _closing(self._database, self._job_id):
            for claim in self._claims():
                try:
                    self._write(claim, manifest.rows(claim.start, claim.stop))
                except (KeyboardInterrupt, Transient) as error:
                    ledger.release_shard(self._database, claim, f"the import was interrupted: {error}")
                    raise
                progress(claim.stop, manifest.count)
        ledger.finish_jobs(self._database)
        counts = queries.job_progress(self._database, self._job_id).by_status
        without = counts.get(ImageStatus.ERROR, 0) + counts.get(ImageStatus.NONFINITE, 0)
        return Imported(self._job_id, manifest.count, manifest.count - without)

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
            if queries.get_job(self._database, self._job_id).state is not JobState.RUNNING:
                raise ImportRefused(f"job {self._job_id} was cancelled while its masks were imported")
            ledger.expire_leases(self._database)
            time.sleep(POLL_S)

    def _write(self, claim: ShardClaim, entries: list[Entry]) -> None:
        """Write and commit the results of a shard."""
        rows = []
        for entry in entries:
            self._keep(claim)
            rows.append(self._result(entry))
        part = parts.write(self._header(claim), rows)
        key = parts.part_key(claim.job_id, claim.shard_id, claim.fence)
        self._bucket.put(key, part.data)
        made = PartRecord(new_id(), key, part.sha256, len(part.data), part.rows)
        if not ledger.commit_shard(self._database, claim, claim.stop, made, rows):
            raise ImportRefused(f"job {claim.job_id} was cancelled while its masks were imported")

    def _keep(self, claim: ShardClaim) -> None:
        """Renew the lease in time; a shard of large photographs takes longer than one."""
        if time.monotonic() - self._renewed > LEASE_S / 3:
            ledger.renew_lease(self._database, claim, LEASE_S)
            self._renewed = time.monotonic()

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

    def _result(self, entry: Entry) -> Result:
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
            values = None if found is None else as_mask(found, entry.key)
        except ImportRefused as error:
            return _failed(result, str(error), "mask")
        if values is None:
            return _failed(result, "no mask of this image was imported", "no_mask")
        photograph, version, reason = self._photograph(entry)
        if photograph is None:
            return replace(_failed(result, reason, "unreadable"), version=version)
        size = photograph.size
        box = fit(size, self._input).box if self._crop else whole(size)
        grid = values.mask
        area = None if grid is None else float(grid.mean())
        result = replace(
            result,
            status=_status(grid),
            version=version,
            grid=grid,
            area=area,
            original_size=size,
            box=box,
            window=photograph.window,
            pixels=properties_of(photograph),
            thumbnail=thumbnail(photograph.rgb),
            error="its values were not in [0, 1]: the positive part was divided by its maximum"
            if values.scaled
            else None,
            error_class="scaled" if values.scaled else None,
        )
        if grid is None or result.status is not ImageStatus.OK:
            return result
        return replace(result, metrics=self._measured(entry, photograph, grid, target, box))

    def _photograph(self, entry: Entry) -> tuple[Photograph | None, str, str]:
        """The photograph, its version, and why it cannot be read. Outages are raised."""
        try:
            fetched = self._source.fetch(entry.key, entry.version)
            return decode(fetched.data), fetched.version, ""
        except Unavailable:
            raise
        except DatasetError as error:
            return None, entry.version, str(error)

    def _measured(
        self,
        entry: Entry,
        photograph: Photograph,
        grid: NDArray[np.float32],
        target: int | None,
        box: Rectangle,
    ) -> dict[str, float]:
        settled = settle_boxes(entry.boxes, photograph.size, photograph.orientation)
        mine = [b for b in settled.boxes if target is None or self._is(b.label or entry.label, target)]
        regions = ordinary([b.sides for b in mine], [b.difficult for b in mine])[0] if mine else []
        sample = Sample(grid, target or 0, photograph.size, box, tuple(regions))
        values: dict[str, Any] = {}
        for name in MEASURED:
            if CATALOGUE[name].needs != "boxes" or regions:
                values |= measure(name, sample)
        return {name: float(value) for name, value in values.items() if np.isfinite(value)}

    def _is(self, label: str | None, target: int) -> bool:
        return label is None or self._classes.find(label) == target


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
