"""The task that measures transfer between two jobs: shows a model the masks of another (`gfi.drift.transfer`).

Every ordered pair of the floor's runs is measured as the compared pair is. The pairs of one model are measured
together, so each network is loaded once and each photograph read once for it; their numbers are saved before the next
model.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfi.domain.geometry import Rectangle, Size, place
from gfi.drift.errors import DriftError
from gfi.drift.transfer import Transfer, highest, transfer_of, transfer_sentences
from gfi.jobs.task_run import TaskRun
from gfi.jobs.transfer import SharedImage, shared_images, without_common_images
from gfi.metrics.batched_probabilities import target_probabilities
from gfi.metrics.fills import blurred
from gfi.store import queries
from gfi.store.part_cache import PartCache
from gfi.store.parts import Explained
from gfi.store.queries import Job
from workers.photographs import photograph_reader
from workers.services import WorkerServices


def measure_transfer(services: WorkerServices, run: TaskRun) -> str:
    """Measure the transfer from job a to job b, and between the runs of the floor (a among them)."""
    asked = run.claim.payload
    ids = list(dict.fromkeys([asked["b"], asked["a"], *asked["floor"]]))
    jobs = {job_id: queries.get_job(services.database, job_id) for job_id in ids}
    shared = shared_images(
        services.database, list(jobs.values()), int(asked["images"]), int(asked["seed"]), run.check
    )
    if not shared:
        raise DriftError(without_common_images(ids))
    runs = list(dict.fromkeys([asked["a"], *asked["floor"]]))
    wanted = {asked["b"]: [asked["a"]]}
    if len(runs) > 1:
        for second in runs:
            wanted.setdefault(second, []).extend(first for first in runs if first != second)
    measured = [Transfer.from_json(one) for one in run.progress.get("measured", [])]
    cache = PartCache(services.database, services.bucket)
    for second, firsts in wanted.items():
        if any(one.second == second for one in measured):
            continue
        measured += _onto(services, run, jobs[second], [jobs[first] for first in firsts], shared, cache)
        run.save(
            lambda connection: None,
            done=len({one.second for one in measured}),
            total=len(wanted),
            measured=[one.to_json() for one in measured],
        )
    compared = next(one for one in measured if (one.first, one.second) == (asked["a"], asked["b"]))
    floor = [one for one in measured if one.second in runs and one.first in runs and one is not compared]
    names = dict(enumerate((jobs[asked["b"]].model or {}).get("class_names") or []))
    result = {
        "images": compared.n,
        "compared": compared.to_json(),
        "floor": [one.to_json() for one in floor],
        "sentences": list(transfer_sentences(compared, floor, names)),
    }
    return f"{compared.n} images" if run.finish(result) else "too late"


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
