"""The screening task: streams the parts of a job, proposes candidates, says what testing them takes. Needs no network.

S1, S2 and S5 are sums over all images; S3 and S4 look at the sample of `gfi.jobs.audits.sample`, S4 at its
photographs. Where no photograph can be read, S4 is left out, and nothing can be tested.
"""

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfi.audit.audit import Screens, propose_clusters, propose_repeats, shortlisted
from gfi.audit.candidates import Candidate, shortlist, with_columns
from gfi.audit.explained import Photographs
from gfi.audit.properties import ClassMeans, PropertyCandidate
from gfi.audit.settings import AuditSettings
from gfi.audit.split import in_screening_half
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Manifest
from gfi.datasets.sources import open_source
from gfi.domain.preprocess import Preprocess
from gfi.jobs.audits import cost
from gfi.jobs.audits.earlier import load_earlier
from gfi.jobs.audits.files import Kept, ScreenedJob, settings_of
from gfi.jobs.audits.reading import Reading, chunks
from gfi.jobs.audits.sample import Sample, per_class
from gfi.jobs.audits.views import Missing, Views
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError
from gfi.store.objects import Bucket
from gfi.store.queries import Audit, Job
from gfi.store.settings import Settings

UNREADABLE_SHARE = 0.5
"""Of the first photographs: with a larger share that cannot be read, the dataset is taken as not readable."""
PROBE = 24


@dataclass(frozen=True)
class Stores:
    """What a screening reads and writes."""

    settings: Settings
    database: Database
    bucket: Bucket


@contextmanager
def manifest_of(bucket: Bucket, job: Job) -> Iterator[Manifest]:
    """The manifest of a job, downloaded for the length of a `with` block. StoreError for another file."""
    if job.manifest_key is None:
        raise NotFound(f"job {job.id} has no listing; its dataset could not be listed")
    with tempfile.TemporaryDirectory(prefix="gfi-audit-") as folder:
        path = Path(folder) / "manifest.parquet"
        bucket.get_to(job.manifest_key, path)
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if job.manifest_digest is not None and actual != job.manifest_digest:
            raise StoreError(f"manifest {job.manifest_key} is another file than the ledger recorded")
        yield Manifest.open(path)


def views_of(
    settings: Settings, job: Job, manifest: Manifest, kept: Kept, check: Callable[[], None]
) -> tuple[Views | None, str]:
    """The photographs of a job; None and the reason where they cannot be read: (views, reason)."""
    try:
        views = Views(
            open_source(job.config.dataset.spec, settings),
            manifest,
            Preprocess.of_model(job.model or {}),
            job.config,
            check,
        )
    except Unavailable:
        raise  # the store may answer at the next attempt; without photographs the audit would end
    except DatasetError as error:
        return None, str(error)
    if not len(kept.rows):
        return views, ""
    probe = kept.rows[np.linspace(0, len(kept.rows) - 1, min(PROBE, len(kept.rows))).astype(int)]
    try:
        views(probe)
    except Missing as missing:
        if len(missing.rows) > UNREADABLE_SHARE * len(probe):
            why = ", ".join(f"{number} {reason}" for reason, number in sorted(views.why.items()))
            return None, f"of {len(probe)} photographs that were tried, {why}"
    return views, ""


def screen_job(
    stores: Stores,
    job: Job,
    audit: Audit,
    check: Callable[[], None],
    progressed: Callable[[int], None],
) -> ScreenedJob:
    """Screen a job. check: raises when the task is to end. progressed: called with the number of images passed.

    StoreError where the job has no mask to audit.
    """
    settings = settings_of(audit.settings)
    classes = int((job.model or {}).get("classes") or len(job.class_names))
    screens, means, reading = Screens(classes, settings), ClassMeans(classes), Reading()
    sample = Sample(per_class(classes, settings.kept_per_class), audit.secret)
    confirming = np.zeros(classes, np.int64)
    settling = "until_settled" in audit.options  # then later images confirm, and all of these screen
    with manifest_of(stores.bucket, job) as manifest:
        earlier = load_earlier(stores.bucket, audit, manifest)
        for chunk in chunks(stores.database, stores.bucket, job, manifest, reading):
            check()
            read = chunk.read
            half = in_screening_half(read.keys, audit.secret) | settling
            screens.add(read.grids, read.classes, half, (chunk.boxes, chunk.owners))
            columns = {name: np.asarray(values)[half] for name, values in chunk.columns.items()}
            means.add(columns, read.classes[half])
            confirming += np.bincount(read.classes[~half], minlength=classes)
            sample.add(chunk, half)
            progressed(reading.rows)
        if not reading.images:
            raise StoreError(_nothing(job, reading))
        kept = sample.kept()
        views, reason = views_of(stores.settings, job, manifest, kept, check)
        chosen = {int(index) for index in audit.options.get("classes") or ()}
        patch = audit.options.get("patch")
        if patch is None:
            found, kept = _proposed(screens, kept, views, settings, check)
        else:  # a stated hypothesis is tested alone
            found = [Candidate(min(chosen), "stated", None, 0.0, 0.0, patch=read_patch(stores.bucket, patch))]
    if chosen:
        found = [c for c in found if c.class_index in chosen]
    candidates, untested = earlier.with_new(shortlist(with_columns(found, settings.level), settings))
    properties = [p for p in _properties(means, settings) if not chosen or p.class_index in chosen]
    properties = [] if patch is not None else properties
    facts = _facts(job, screens, reading, confirming, settings)
    facts |= {"photographs": views is not None, "photographs_reason": reason, "untested": untested}
    if views is not None:
        facts["unusable_photographs"] = views.why
    facts |= _cost(stores.database, job, reading, candidates, settings)
    return ScreenedJob(candidates, tuple(properties), kept, screens.counts[0], facts)


def read_patch(bucket: Bucket, at: str) -> NDArray[np.uint8]:
    """The picture (t, u, 4) of a stated hypothesis."""
    with Image.open(io.BytesIO(bucket.get(at)), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGBA"), np.uint8)


def _proposed(
    screens: Screens,
    kept: Kept,
    views: Views | None,
    settings: AuditSettings,
    check: Callable[[], None],
) -> tuple[list[Candidate], Kept]:
    found = list(screens.proposed() or [])
    for k in shortlisted(screens.counts[0], found, settings):
        check()
        found += propose_clusters(kept.data, [k], settings)
        while views is not None:
            check()
            try:
                found += propose_repeats(kept.data, [k], photographs_of(views, kept), settings)
                break
            except Missing as missing:
                kept = kept.without(places_of(kept, missing.rows), confirming=False)
    return found, kept


def photographs_of(views: Views, kept: Kept) -> Photographs:
    """The photographs by place in the sample."""
    return lambda places: views(kept.rows[places])


def places_of(kept: Kept, rows: Sequence[int]) -> list[int]:
    """Where these rows are in the sample."""
    return np.flatnonzero(np.isin(kept.rows, np.array(rows))).tolist()


def _properties(means: ClassMeans, settings: AuditSettings) -> tuple[PropertyCandidate, ...]:
    found = means.screen(fewest_classes=settings.fewest_classes, fewest_images=settings.fewest_images)
    return tuple((found or [])[:100])


def _nothing(job: Job, reading: Reading) -> str:
    became = ", ".join(f"{n:,} {status}" for status, n in reading.left_out.most_common())
    lost = f"; {reading.damaged} parts are lost or damaged" if reading.damaged else ""
    return (
        f"job {job.id} has no mask to audit ({became or 'no results'}){lost}; `gfi job {job.id}` says why, and `gfi "
        f"retry {job.id}` explains such images again"
    )


def _facts(
    job: Job,
    screens: Screens,
    reading: Reading,
    confirming: NDArray[np.int64],
    settings: AuditSettings,
) -> dict[str, Any]:
    images = screens.counts[0].images
    shown = int((images + confirming > 0).sum())
    enough = int((images >= settings.fewest_images).sum())
    return {
        "images": reading.images,
        "each_label": job.config.each_label,
        "boxed": reading.boxes,
        "measured": reading.measured,
        "left_out": dict(reading.left_out),
        "damaged_parts": reading.damaged,
        "classes": shown,
        "classes_with_enough": enough,
        "class_null": enough >= settings.fewest_classes,
        "confirming": {str(k): int(n) for k, n in enumerate(confirming) if n},
        "listing": job.listing_digest,
    }


def _cost(
    database: Database, job: Job, reading: Reading, candidates: Sequence[Candidate], settings: AuditSettings
) -> dict[str, Any]:
    """What testing takes, at most: pictures that the network answers for, and seconds on a device where known."""
    answers = cost.answers(candidates, settings.most_images, settings)
    rate = cost.rate_of(database, job)
    steps = reading.iterations / max(reading.images, 1)
    estimate = cost.seconds(answers, rate, steps, job.config.recipe)
    return {"candidates": len(candidates), "answers": answers, "estimate_s": estimate, "steps": steps}
