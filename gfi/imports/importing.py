"""Masks that were made elsewhere become a finished job, by the process that imports them.

The dataset is listed as for any job. Each image gets the mask of its key, its photograph is read for its size, its
thumbnail and its properties, and boxes are measured. The shards of the job are on a queue of their own, so no worker
takes them; a part and a commit for each, as workers write them, so that gallery, report, audit, comparison and export
read them like any other.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gfi.datasets.manifest import Manifest
from gfi.datasets.sources import open_source
from gfi.domain.digests import JSON, canonical
from gfi.domain.ids import new_id
from gfi.domain.job import UNVERIFIED, DatasetRef, JobConfig, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.queues import import_queue
from gfi.domain.recipes import Recipe
from gfi.domain.records import ControlClaim, JobSpec
from gfi.domain.states import JobState
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest, check_request
from gfi.imports.import_run import MEASURED, Imported, ImportRun, Network
from gfi.imports.mask_files import OpenMasks, open_masks
from gfi.imports.mask_values import LARGEST_SIDE, as_mask
from gfi.jobs.listing_writer import Classes, Listing, Most, write_listing
from gfi.jobs.sharding import shard_bounds
from gfi.jobs.task_run import Interrupted
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.ledger.importing import begin_import
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

NO_MODEL = "none"
SHARD = 200
ALIKE = 20
"""If so many masks cannot be read before one can, the kind of file is wrong and no job is made."""
MOST_CLASSES = 100_000


def import_masks(
    database: Database,
    settings: Settings,
    bucket: Bucket,
    request: ImportRequest,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    check: Callable[[], None] = lambda: None,
    network: Network | None = None,
    job_id: str | None = None,
    task: ControlClaim | None = None,
) -> Imported:
    """Import masks as a job that has ended. progress: (images done, all images). check: called for each image, and
    raises to interrupt the import. network: of the model, which measures masks too. job_id: of the new job; None makes
    one. task: the one that imports.

    Raises ImportRefused where the masks cannot be read or none belongs to an image, and DatasetError as a listing does;
    a single unreadable mask is the error of its image. Interrupted where the task lost its lease.
    """
    model = check_request(database, request)
    with open_masks(request.masks) as masks, tempfile.TemporaryDirectory(prefix="gfi-import-") as folder:
        path = Path(folder) / "manifest.parquet"
        listing = _list(request, settings, model, path, check)
        manifest = Manifest.open(path)
        _check_masks(request, manifest, masks)
        record = model.record if model is not None else _record_of_labels(manifest)
        metrics = MEASURED if network is None else (*MEASURED, *network.metrics)
        job_id = job_id or new_id()
        _begin(database, bucket, settings, request, model, record, listing, path, metrics, job_id, task)
        run = ImportRun(database, bucket, settings, job_id, masks, record, request.crop, check, network)
        return run.to_the_end(manifest, progress)


def resume_import(
    database: Database,
    settings: Settings,
    bucket: Bucket,
    job_id: str,
    masks: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    check: Callable[[], None] = lambda: None,
    network: Network | None = None,
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
        run = ImportRun(
            database, bucket, settings, job.id, found, job.model or {}, bool(begun["crop"]), check, network
        )
        return run.to_the_end(manifest, progress)


def _list(
    request: ImportRequest,
    settings: Settings,
    model: queries.Model | None,
    path: Path,
    check: Callable[[], None],
) -> Listing:
    most = settings.max_images_per_job
    listing = write_listing(
        request.dataset,
        settings,
        path,
        classes=None if model is None else Classes.of(model.record),
        most=Most(most, f"the dataset has more than {most} images, which is GFI_MAX_IMAGES_PER_JOB"),
        check=check,
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
    metrics: tuple[str, ...],
    job_id: str,
    task: ControlClaim | None,
) -> None:
    """Upload the manifest and insert the job."""
    written = listing.written
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
        metrics=tuple(sorted(metrics)),
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
    begun = begin_import(
        database,
        job_id,
        replace(spec, listing_digest=written.listing),
        manifest_key=key,
        manifest_digest=written.sha256,
        total=written.count,
        shards=shard_bounds(written.count, SHARD),
        metadata=metadata,
        task=task,
    )
    if not begun:
        raise Interrupted("the lease of the import was lost")
