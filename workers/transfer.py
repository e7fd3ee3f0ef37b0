"""The task that measures transfer between two jobs: shows a model the masks of another (`gfi.drift.transfer`).

Which pairs, and in what pieces, is in `gfi.jobs.transfer`.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.domain.geometry import Rectangle, Size, place
from gfi.drift.errors import DriftError
from gfi.drift.transfer import Transfer, highest, transfer_of
from gfi.jobs.task_run import TaskRun
from gfi.jobs.transfer import SharedImage, measure
from gfi.metrics.batched_probabilities import target_probabilities
from gfi.metrics.fills import blurred
from gfi.store import queries
from gfi.store.part_cache import PartCache
from gfi.store.parts import Explained
from gfi.store.queries import Job
from workers.photographs import photograph_reader
from workers.services import WorkerServices


def measure_transfer(services: WorkerServices, run: TaskRun) -> str:
    """Measure the transfer from job a to job b, and between the runs of the floor."""
    cache = PartCache(services.database, services.bucket)

    def onto(second: Job, firsts: Sequence[Job], shared: Sequence[SharedImage]) -> list[Transfer]:
        return _onto(services, run, second, firsts, shared, cache)

    return measure(services.database, run, onto)


def _onto(
    services: WorkerServices,
    run: TaskRun,
    second: Job,
    firsts: Sequence[Job],
    shared: Sequence[SharedImage],
    cache: PartCache,
) -> list[Transfer]:
    """The transfer from each of `firsts` to the model of `second`. Photographs that cannot be used are left out."""
    config = second.config
    engine = services.engines.get(config, second.profile)
    read = photograph_reader(
        services.source(config.dataset.spec), engine, overlays=False, boxes=False, thumbnails=False
    )
    manifest = services.manifest(second.manifest_key or "", second.manifest_digest)
    by_row = {image.rows[second.id]: image for image in shared}
    targets: list[int] = []
    answers: list[NDArray[np.float64]] = []
    entries = manifest.pick(sorted(by_row))
    with engine.exact():
        while batch := list(islice(entries, engine.batch)):
            run.check()
            views: list[Tensor] = []
            classes: list[int] = []
            for entry in batch:
                image = by_row[entry.row]
                photograph = read(entry)
                run.progressed()
                explained = [_explained(services, cache, job.id, image) for job in (second, *firsts)]
                if photograph.prepared is None or None in explained:
                    continue
                shown = photograph.prepared.image.to(engine.device, engine.dtype)
                blur = blurred(shown[None])[0]
                for mask in _top_areas([one for one in explained if one is not None]):
                    views.append(torch.where(torch.from_numpy(mask).to(engine.device), shown, blur))
                    classes.append(image.target)
                targets.append(image.target)
            if views:
                stacked, chosen = torch.stack(views), torch.tensor(classes, device=engine.device)
                p = target_probabilities(
                    engine.network.probabilities, stacked.__getitem__, len(views), chosen, engine.batch
                )
                answers.append(p.cpu().numpy().reshape(-1, 1 + len(firsts)))
            run.progressed()
    if not targets:
        raise DriftError(f"no photograph of the sample can be read as job {second.id} explained it")
    p_all, at = np.concatenate(answers), np.array(targets)
    return [
        transfer_of(first.id, second.id, at, p_all[:, 1 + n], p_all[:, 0]) for n, first in enumerate(firsts)
    ]


def _explained(
    services: WorkerServices, cache: PartCache, job_id: str, image: SharedImage
) -> Explained | None:
    result = queries.get_result(services.database, job_id, image.rows[job_id])
    explained = cache.explanation(result) if result is not None else None
    return explained if explained is not None and explained.mask is not None else None


def _top_areas(explained: Sequence[Explained]) -> Iterator[NDArray[np.bool_]]:
    """The highest area of each mask on the input of the first one's network: (1, H, W) each."""
    own = explained[0]
    size = own.header.input_size
    for one in explained:
        assert one.mask is not None
        mask = one.mask
        if one.result.box != own.result.box or mask.shape != size:
            mask = place(mask, size, within(one.result.box, own.result.box, size))
        yield highest(mask)[None]


def within(box: Rectangle | None, frame: Rectangle | None, size: Size) -> Rectangle:
    """A rectangle of the photograph in pixels of an input of `size` that shows `frame`. Both are known for a mask."""
    assert box is not None
    assert frame is not None
    down, across = size[0] / (frame[3] - frame[1]), size[1] / (frame[2] - frame[0])
    left, top = (box[0] - frame[0]) * across, (box[1] - frame[1]) * down
    return left, top, (box[2] - frame[0]) * across, (box[3] - frame[1]) * down
