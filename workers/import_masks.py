"""The task that imports masks which were sent to the API, and measures them by the network where a model is given.

The id of the job is saved before the job is made, so another attempt goes on with it.
"""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gfi.datasets.decode import Photograph
from gfi.domain import geometry
from gfi.domain.geometry import Rectangle
from gfi.domain.ids import new_id
from gfi.domain.job import ModelRef
from gfi.domain.states import JUDGED
from gfi.imports.errors import ImportRefused
from gfi.imports.import_request import ImportRequest
from gfi.imports.import_run import Imported, imported_of
from gfi.imports.importing import import_masks, resume_import
from gfi.imports.mask_files import TORCH
from gfi.jobs.submit import freeze, request_from
from gfi.jobs.task_run import TaskRun
from gfi.method.engine import Engine
from gfi.metrics.sample import Sample, measure
from gfi.store import queries
from gfi.store.errors import NotFound
from workers.services import WorkerServices
from workers.transfer import within


class NetworkScores:
    """Deletion and insertion of imported masks: `gfi.imports.import_run.Network`."""

    metrics = ("deletion", "insertion")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def measure(
        self, photograph: Photograph, mask: NDArray[np.float32], target: int, box: Rectangle
    ) -> Mapping[str, float]:
        """The scores of the part of a mask that the network sees. box: what the mask shows, in original pixels."""
        engine = self._engine
        prepared = engine.classifier.prepare(photograph.seen, engine.recipe, photograph.scale)
        size = engine.classifier.preprocess.size
        if box != prepared.box:
            seen = geometry.place(mask, size, within(box, prepared.box, size))
        else:
            seen = geometry.draw(mask, size, False)
        sample = Sample(
            mask=seen,
            target=target,
            original_size=prepared.original_size,
            box=prepared.box,
            image=prepared.image.to(engine.device, engine.dtype),
            probabilities=engine.network.probabilities,
        )
        values: dict[str, float] = {}
        with engine.exact():
            for metric in self.metrics:
                values |= measure(metric, sample)
        return {name: value for name, value in values.items() if math.isfinite(value)}


def run_import(services: WorkerServices, run: TaskRun) -> str:
    """Do a requested import, or go on with one."""
    payload = dict(run.claim.payload)
    key, name = payload.pop("key"), payload.pop("masks")
    if "job" not in run.progress:
        run.save(lambda connection: None, job=new_id())
    job_id = str(run.progress["job"])
    stores = (services.database, services.settings, services.bucket)
    begun = _begun(services, job_id)
    if begun is not None and begun.state in JUDGED:  # an earlier attempt ended after its last commit
        return _finish(services, run, imported_of(services.database, job_id), key)
    network = None
    if payload["model"] is not None:
        # The version is chosen once: a newer one may be registered before the next attempt.
        chosen: queries.Model | ModelRef | None
        chosen = (
            queries.find_model(services.database, payload["model"]) if begun is None else begun.config.model
        )
        if chosen is not None and chosen.version is not None:
            payload["model"] = f"{chosen.reference}@{chosen.version}"
        request = request_from(dataset=payload["dataset"], model=payload["model"], owner=payload["owner"])
        network = NetworkScores(services.engines.get(freeze(services.database, services.settings, request)))

    def progress(done: int, total: int) -> None:
        run.progressed(done=done, total=total)

    def check() -> None:
        run.check()
        run.progressed()

    with TemporaryDirectory(prefix="gfi-import-") as folder:
        masks = Path(folder) / name
        try:
            services.bucket.get_to(key, masks)
        except NotFound:
            raise ImportRefused(
                "the file of masks was kept no longer (GFI_API_UPLOAD_HOURS); send it again"
            ) from None
        check_members(masks)
        if begun is not None:
            made = resume_import(*stores, job_id, masks, progress, check=check, network=network)
        else:
            request_ = ImportRequest(masks, **payload)
            made = import_masks(
                *stores, request_, progress, check=check, network=network, job_id=job_id, task=run.claim
            )
    return _finish(services, run, made, key)


def _finish(services: WorkerServices, run: TaskRun, made: Imported, key: str) -> str:
    if not run.finish({"job": made.job_id, "images": made.images, "with_mask": made.with_mask}):
        return "too late"
    services.bucket.delete_many([key])
    return f"{made.with_mask} of {made.images} images have a mask"


def check_members(masks: Path) -> None:
    """Raises ImportRefused for an archive with files of tensors, and for what is no archive."""
    if masks.suffix == ".npy":
        return
    try:
        with zipfile.ZipFile(masks) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ImportRefused(f"{masks.name} is no {masks.suffix}: {error}") from None
    for name in names:
        if name.lower().endswith(TORCH):
            raise ImportRefused(
                f"{masks.name}: {name[:200]} is a file of tensors, which only `gfi import` reads"
            )


def _begun(services: WorkerServices, job_id: str) -> queries.Job | None:
    try:
        return queries.get_job(services.database, job_id)
    except NotFound:
        return None
