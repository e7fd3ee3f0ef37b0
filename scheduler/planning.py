"""Dataset → manifest → shards.

The listing is written as a stream into one Parquet file and uploaded before any row of the ledger changes;
then one transaction inserts the shards and moves planning → running.

    jobs/{job}/manifest-{id}.parquet        the listing
    jobs/{job}/manifest-r{n}-{id}.parquet   the rows of the n-th retry
    jobs/{job}/job.json                     configuration, model record, manifest digest: enough to rebuild from

Each attempt writes its own manifest, and the first job.json is kept. Otherwise a planner that was suspended during an
upload and continues after its lease would replace the manifest that workers are already reading.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from gfi.datasets.manifest import Manifest, entries, subset, write
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.domain.digests import JSON, canonical
from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim
from gfi.jobs.sharding import FIRST_SHARD, shard_bounds, shard_size
from gfi.jobs.submit import class_index
from gfi.store import ledger, queries
from gfi.store.errors import LimitExceeded
from gfi.store.ledger.restoring import CARRIED
from gfi.store.objects import Bucket, Exists
from scheduler.services import ControlServices

Row = TypeVar("Row")


def plan(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """List the job's dataset and cut it into shards. `check` raises when the lease is lost."""
    assert claim.job_id is not None
    config, settings = claim.config, services.settings
    source = open_source(config.dataset.spec, settings)
    record = claim.model or {}
    # With one target for all images, labels need no class.
    classes = class_index(record) if config.target == "auto" else None
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        path = Path(folder) / "manifest.parquet"
        notes = ListingNotes()
        own = ledger.most_images(services.database, claim.owner)
        listing = _limited(_checked(source.list(notes), check), settings.max_images_per_job, own)
        rows = entries(listing, classes, notes)
        written = write(rows, path, {"dataset": source.spec, "kind": source.kind})
        check()
        key = f"jobs/{claim.job_id}/manifest-{new_id()}.parquet"
        services.bucket.put(key, path)
    metadata: dict[str, Any] = {"dataset": source.describe(), "warnings": notes.lines(written.count)}
    if notes.skipped:
        metadata["skipped"] = notes.skipped
    metadata["warnings"] += written.notes
    if written.columns:
        metadata["columns"] = dict(written.columns)
    if written.unmatched and classes is not None:
        metadata["unmatched_labels"] = written.unmatched
        metadata["warnings"].append(
            f"{written.unmatched} of {written.count} images have a label that is not a class of the model; "
            "they are explained for the predicted class"
        )
    if record.get("nondeterministic"):
        metadata["warnings"].insert(
            0, f"the model was registered with allow_nondeterministic: {record['nondeterministic']}"
        )
    row = queries.get_job(services.database, claim.job_id)
    job = {
        "job": claim.job_id,
        **{name: getattr(row, name) for name in CARRIED},
        "config": claim.stored_config,
        "model": record,
        "manifest": {
            "key": key,
            "sha256": written.sha256,
            "count": written.count,
            "listing": written.listing,
        },
        "facts": metadata,
    }
    if written.count:  # an empty listing fails the job; its retry must list anew
        job = _first_record(services.bucket, job)
    check()
    manifest = job["manifest"]
    rate = queries.measured_rate(services.database, config.work_digest())
    size = shard_size(manifest["count"], rate, settings.shard_seconds, config.batch)
    planned = ledger.finish_planning(
        services.database,
        claim,
        manifest_key=manifest["key"],
        manifest_digest=manifest["sha256"],
        total=manifest["count"],
        shards=shard_bounds(manifest["count"], size),
        metadata=job["facts"],
        listing_digest=manifest["listing"],
    )
    return f"{manifest['count']} images in shards of {size}" if planned else "too late"


def _first_record(bucket: Bucket, job: JSON) -> JSON:
    """job.json as written by the first planner that reached this step."""
    key = f"jobs/{job['job']}/job.json"
    try:
        bucket.put(key, canonical(job).encode(), "application/json", if_none_match=True)
    except Exists:
        return json.loads(bucket.get(key))
    return job


def plan_retry(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """Collect the rows with the wanted statuses into a manifest of their own and cut it into shards."""
    assert claim.job_id is not None
    job = queries.get_job(services.database, claim.job_id)
    assert job.manifest_key is not None
    rows = list(
        _checked(
            queries.rows_with_status(
                services.database, claim.job_id, claim.payload["statuses"], claim.payload.get("classes", ())
            ),
            check,
        )
    )
    key, size = None, FIRST_SHARD
    if rows:
        key = f"jobs/{claim.job_id}/manifest-r{claim.generation}-{new_id()}.parquet"
        with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
            whole, part = Path(folder) / "manifest.parquet", Path(folder) / "retry.parquet"
            services.bucket.get_to(job.manifest_key, whole)
            subset(Manifest.open(whole), rows, part, {"retry": str(claim.generation)})
            check()
            services.bucket.put(key, part)
        rate = queries.measured_rate(services.database, claim.config.work_digest())
        size = shard_size(len(rows), rate, services.settings.shard_seconds, claim.config.batch)
    planned = ledger.finish_retry(
        services.database, claim, manifest_key=key, total=len(rows), shards=shard_bounds(len(rows), size)
    )
    return f"{len(rows)} images again" if planned else "too late"


def _checked(rows: Iterator[Row], check: Callable[[], None]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % 1000 == 0:
            check()
        yield row


def _limited(rows: Iterator[Row], most: int, own: int | None) -> Iterator[Row]:
    """own: the limit of the job's owner. The ledger checks it again; the check here stops a listing of millions
    early."""
    for number, row in enumerate(rows):
        ledger.check_images(own, number + 1)
        if number >= most:
            raise LimitExceeded(
                f"the dataset has more than {most} images, which is GFI_MAX_IMAGES_PER_JOB; split it or raise the limit"
            )
        yield row
