"""Products of a job's results: a summary, an HTML report, and the list from which results can be rebuilt.

jobs/{job}/summary.json      counts by status and means, written when the job ends
jobs/{job}/committed.json    the keys of all its parts, with their SHA-256: with job.json and the parts, all that is
                             needed to write its results back. Written every thousand parts and when the job ends
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gfi.datasets.decode import decode_for
from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import Source, open_source
from gfi.domain.digests import canonical
from gfi.domain.job import UNVERIFIED
from gfi.domain.preprocess import Preprocess
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.jobs.first_page import day, first_page
from gfi.jobs.report_sample import Place, choose
from gfi.report.measures import Numbers, measures_of
from gfi.report.page import Card, write_page
from gfi.report.summary import Summary, column_title, status_title, summary_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.settings import Settings

_AT_ONCE = 1000


def write_summary(database: Database, bucket: Bucket, job_id: str) -> Summary:
    """Write `summary.json` of a job that has ended; returns its content."""
    summed = summary(database, job_id)
    carried = since_of(queries.get_job(database, job_id))
    body = canonical(summed.to_json() | ({"since": carried} if carried else {})).encode()
    bucket.put(f"jobs/{job_id}/summary.json", body, content_type="application/json")
    return summed


def write_committed(database: Database, bucket: Bucket, job_id: str) -> int:
    """Write the list of a job's parts; returns how many."""
    parts = [asdict(part) for part in queries.iterate_parts(database, job_id)]
    body = canonical({"job": job_id, "parts": parts}).encode()
    bucket.put(f"jobs/{job_id}/committed.json", body, content_type="application/json")
    return len(parts)


def since_of(job: queries.Job) -> dict[str, Any] | None:
    """Of an incremental job that was planned: {job, explained, carried, removed, verified}; else None.

    verified: what the comparison of images that were explained again found, None if there was none.
    """
    if job.since is None or job.carried is None:
        return None
    return {
        "job": job.since["job"],
        "explained": job.explained,
        "carried": job.carried,
        "removed": job.removed,
        "verified": (job.metadata or {}).get("verified"),
    }


def since_sentence(since: dict[str, Any]) -> str:
    """What `since_of` says, in words."""
    said = (
        f"{since['explained']:,} explained, {since['carried']:,} carried over from job {since['job']}, "
        f"{since['removed']:,} removed since"
    )
    verified = since["verified"]
    if not verified:
        return said
    if "error" in verified:
        return f"{said}; {verified['error']}"
    outcome = (
        f"{verified['differing']:,} differ, for example {verified['example']}"
        if verified["differing"]
        else "all equal bit by bit"
    )
    return f"{said}; {verified['images']:,} explained again to verify: {outcome}"


def summary(database: Database, job_id: str) -> Summary:
    """Counts and means over all current results of a job; of several classes of an image the first."""
    return summary_of(queries.job_sums(database, job_id))


def write_report(
    database: Database,
    settings: Settings,
    bucket: Bucket,
    job_id: str,
    folder: Path,
    limit: int = 5000,
    seed: int = 0,
) -> Path:
    """Write `folder/index.html` with at most `limit` images, drawn with `seed`; returns its path.

    NotFound for an unknown job.
    """
    job = queries.get_job(database, job_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from error
    config = job.config
    total, summed = job.total or 0, summary(database, job.id)
    chosen = choose(database, job, summed, limit, seed)
    metadata = {
        "Job": job.id,
        "State": job.shown_state,
        "Explained": _dates(job),
        "Model": f"{config.model.reference} ({config.model.digest[:12]})",
        "Preset": f"{config.preset} ({config.method_digest[:12]})",
        "Layers": f"{config.layers.inverted}, {' + '.join(config.layers.mask_layers)}",
        "Dataset": config.dataset.spec,
        **({"Provenance": UNVERIFIED} if config.imported is not None else {}),
        **({"Class": f"the first of the {config.top} explained"} if config.top > 1 else {}),
        "Coverage": f"{summed.ok:,} of {max(total, summed.total):,} images explained",
        "Images": chosen.sentence,
        **({"Since": since_sentence(since)} if (since := since_of(job)) else {}),
        **({"Profile": _profile(job.profile)} if job.profile else {}),
    }
    for number, warning in enumerate(_warnings(database, job), 1):
        metadata["Warning" if number == 1 else f"Warning {number}"] = warning
    make = _CardMaker(database, settings, bucket, job)
    numbers = Numbers(
        measures_of(summed, chosen.intervals, config.metrics),
        chosen.classes,
        chosen.ranked,
        chosen.sentence,
        [(status_title(s), n) for s, n in summed.counts.items() if s != ImageStatus.OK],
    )
    by = column_title(chosen.ranked) if chosen.ranked else ""
    ends = [
        (f"Best by {by}", list(make.cards(chosen.best))),
        (f"Worst by {by}", list(make.cards(chosen.worst))),
    ]
    cards = make.cards(chosen.places)
    title, first = job.name or f"Job {job.id}", first_page(database, bucket, job)
    return write_page(folder, title, metadata, summed, cards, total, first, numbers, ends)


def _dates(job: queries.Job) -> str:
    """When a job was submitted and when it ended."""
    begun, ended = day(job.created_at), day(job.finished_at)
    if not ended:
        return f"since {begun}"
    date, _, minute = ended.partition(", ")
    return f"{begun.removesuffix(' UTC')} to {minute if begun.startswith(date) else ended}"


def _warnings(database: Database, job: queries.Job) -> Iterator[str]:
    """What planning found, and what was done to the boxes of explained images."""
    yield from (job.metadata or {}).get("warnings", [])
    for note in queries.failures(database, job.id):
        if note["status"] == ImageStatus.OK:
            yield f"{note['images']} images: {note['example']}"


def _profile(profile: dict[str, Any]) -> str:
    return f"{profile['device_kind']}, {profile['dtype']}, batch {profile['batch']}, {profile['threads']} threads"


class _CardMaker:
    """Makes the cards of images. A photograph that can no longer be read is left out."""

    def __init__(self, database: Database, settings: Settings, bucket: Bucket, job: queries.Job) -> None:
        self._database, self._job = database, job
        try:
            self._source: Source | None = open_source(job.config.dataset.spec, settings)
        except DatasetError:
            self._source = None
        self._input = Preprocess.known(job.model)
        self._part_cache = PartCache(database, bucket)

    def cards(self, places: Sequence[Place]) -> Iterator[Card]:
        """A card for each of these results, in this order."""
        for at in range(0, len(places), _AT_ONCE):
            part = places[at : at + _AT_ONCE]
            found = queries.iterate_results(
                self._database,
                self._job.id,
                filters=queries.Filters(rows=tuple(sorted({row for row, _ in part}))),
            )
            by_place = {(result.row, result.target_rank): result for result in found}
            yield from (self._card(by_place[place]) for place in part if place in by_place)

    def _card(self, result: Result) -> Card:
        photo = None
        if self._source is not None:
            try:
                fetched = self._source.fetch(result.key, result.version)
                # The mask does not belong to a photograph that has changed since.
                photo = None if fetched.changed else decode_for(fetched.data, self._input).rgb
            except DatasetError:
                photo = None
        explained = None
        try:
            explained = self._part_cache.explanation(result)
        except NotFound:
            result = replace(result, error="the part with this mask is no longer in the bucket")
        if explained is not None:
            result = replace(result, window=explained.result.window, repairs=explained.result.repairs)
        box = None
        if explained is not None and photo is not None:
            box = explained.result.box_at((photo.shape[0], photo.shape[1]))
        mask = explained.mask if explained is not None else None
        return Card(result, photo, mask, box, self._name(result.target), self._name(result.prediction))

    def _name(self, index: int | None) -> str | None:
        names = self._job.class_names
        return names[index] if index is not None and index < len(names) else None
