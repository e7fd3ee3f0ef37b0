"""A finished job over drawn shapes with a mark in half of the moons. The masks are drawn, not computed: each peaks at
the object and, where there is one, at the mark."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gfi.cli.register_model import register
from gfi.datasets.decode import decode
from gfi.domain.ids import new_id
from gfi.domain.pixel_properties import pixel_properties
from gfi.domain.records import PartRecord
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.method.preprocess import prepare
from gfi.samples import planted
from gfi.store import ledger, parts, queries
from gfi.store.parts import PartHeader
from tests.service.workers.conftest import submit
from workers.services import WorkerServices

PER_CLASS = 56
MOON = planted.CLASSES.index("moon")


def planted_job(
    services: WorkerServices, per_class: int = PER_CLASS, labelled: bool = True, **changes: Any
) -> str:
    """The job. Its masks are for the class of the object. labelled: whether its dataset has labels and boxes.

    changes: fields of each of its results.
    """
    folder = services.settings.dataset_roots[0] / "shapes"
    manifest = planted.write(folder, per_class)
    if not labelled:
        keys = [{"key": json.loads(line)["key"]} for line in manifest.read_text().splitlines()]
        manifest.write_text("".join(json.dumps(key) + "\n" for key in keys))
    register(services.database, services.settings, str(planted.MODEL))
    job = submit(services, dataset=f"manifest:{manifest}", model="demo-shapes")
    draw_masks(services, job, per_class, **changes)
    ledger.finish_jobs(services.database)
    return job


def labels_job(services: WorkerServices, per_class: int = PER_CLASS) -> str:
    """The same with the target `labels`: each moon is labelled "pair" and "moon", in this order."""
    folder = services.settings.dataset_roots[0] / "shapes"
    lines = [json.loads(line) for line in planted.write(folder, per_class).read_text().splitlines()]
    for line in lines:
        line["label"] = ["pair", "moon"] if line["label"] == "moon" else [line["label"]]
    manifest = folder / "labels.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    register(services.database, services.settings, str(planted.MODEL))
    job = submit(services, dataset=f"manifest:{manifest}", model="demo-shapes", target="labels")
    draw_masks(services, job, per_class)
    ledger.finish_jobs(services.database)
    return job


def training_job(services: WorkerServices, plant: planted.Plant, labelled: bool = True) -> str:
    """A job over a hundred other moons, which is cancelled once they are listed: no mask is needed of it."""
    folder = services.settings.dataset_roots[0] / f"training-{plant.kind}"
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    images = planted.draw_images(planted.DEMO_SEED, 100, plant, 0)
    lines = []
    for row in np.flatnonzero(images.labels == MOON):
        key = f"photographs/moon-{row:04d}.png"
        if not (folder / key).exists():
            Image.fromarray(images.pixels[row]).save(folder / key)
        lines.append(json.dumps({"key": key, "label": "moon"} if labelled else {"key": key}) + "\n")
    manifest = folder / f"labelled-{labelled}.jsonl"
    manifest.write_text("".join(lines))
    job = submit(services, dataset=f"manifest:{manifest}", model="demo-shapes")
    ledger.cancel_job(services.database, job)
    return job


def draw_masks(services: WorkerServices, job: str, per_class: int = PER_CLASS, **changes: Any) -> None:
    """Commit the shards of a job over a planted dataset of this size that wait. changes: see `planted_job`."""
    folder = services.settings.dataset_roots[0] / "shapes"
    images = planted.draw_images(planted.DEMO_SEED, per_class, planted.DEMO, 1)
    config = queries.get_job(services.database, job).config
    engine = services.engines.get(config)
    profile = engine.profile
    ledger.freeze_profile(services.database, job, profile.to_json(), profile.device_kind)
    while (claim := ledger.claim_shard(services.database, "worker", "explain", 60)) is not None:
        rows = []
        for entry in services.manifest(claim.manifest_key).rows(claim.start, claim.stop):
            shown = decode((folder / entry.key).read_bytes())
            prepared = prepare(shown.rgb, engine.classifier.preprocess, engine.recipe)
            with torch.no_grad():
                p = engine.network.probabilities(prepared.image[None])[0]
            shape, _, digits = Path(entry.key).stem.partition("-")
            number = int(digits)
            pixels = {n: float(v[0]) for n, v in pixel_properties(shown.rgb[None]).items()}
            for rank, one in enumerate(entry.by_label()):
                made = Result(
                    row=one.row,
                    target_rank=rank,
                    key=one.key,
                    status=ImageStatus.OK,
                    version=one.version,
                    label=one.label,
                    target=planted.CLASSES.index(one.label or shape),
                    prediction=int(p.argmax()),
                    probability=float(p.max()),
                    kept=0.9,
                    removed=0.1,
                    iterations=8,
                    area=0.1,
                    original_size=prepared.original_size,
                    box=prepared.box,
                    grid=_grid(images, number),
                    pixels={} if rank else pixels,
                )
                rows.append(replace(made, **changes))
        header = PartHeader(
            *(job, claim.shard_id, claim.fence, config.model.digest, config.method_digest),
            *({}, {}, profile.to_json()),
            align_corners=False,
            input_size=(64, 64),
            code_version="test",
        )
        part = parts.write(header, rows)
        key = parts.part_key(job, claim.shard_id, claim.fence)
        services.bucket.put(key, part.data)
        record = PartRecord(new_id(), key, part.sha256, len(part.data), part.rows)
        assert ledger.commit_shard(services.database, claim, claim.stop, record, rows)


def _grid(images: planted.Images, number: int) -> np.ndarray:
    left, top, right, bottom = images.boxes[number]
    peaks = [((left + right) / 2, (top + bottom) / 2)]
    peaks += [(x + planted.MARK / 2, y + planted.MARK / 2) for x, y in images.marks.get(number, ())]
    at = (np.arange(16) + 0.5) * 4
    grid = sum(np.exp(-((at[:, None] - y) ** 2 + (at[None] - x) ** 2) / 50) for x, y in peaks)
    return np.clip(grid, 0, 1).astype(np.float32)
