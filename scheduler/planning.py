"""Dataset → manifest → shards.

The listing is streamed into one Parquet file, frozen, and uploaded before a single row of the ledger changes;
then one transaction inserts the shards and moves planning → running.

    jobs/{job}/manifest-{id}.parquet        the listing
    jobs/{job}/manifest-r{n}-{id}.parquet   the rows of the n-th retry
    jobs/{job}/job.json                     configuration, model record, manifest digest: enough to rebuild from

Each attempt writes a manifest of its own, and the first job.json stands: a planner that was frozen past its lease and
wakes in the middle of an upload would else exchange the manifest under the workers of the one that took its place.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from gfi.datasets.manifest import Manifest, entries, subset, write
from gfi.datasets.sources import open_source
from gfi.domain.digests import JSON, canonical, work_digest
from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim
from gfi.jobs.sharding import FIRST_SHARD, shard_bounds, shard_size
from gfi.jobs.submit import class_index
from gfi.store import ledger, queries
from gfi.store.errors import LimitExceeded
from gfi.store.objects import Bucket, Exists
from scheduler.services import Services

Thing = TypeVar("Thing")


def plan(services: Services, claim: ControlClaim, alive: Callable[[], None]) -> str:
    """List the job's dataset and cut it into shards. `alive` raises when the lease is gone."""
    assert claim.job_id is not None
    assert claim.config is not None
    config, settings = claim.config, services.settings
    source = open_source(config["dataset"]["spec"], settings)
    record = claim.model or {}
    # With one target for all nobody asks what the labels mean.
    classes = class_index(record) if config["target"] == "auto" else None
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        path = Path(folder) / "manifest.parquet"
        listing = _limited(_watched(source.list(), alive), settings.max_images_per_job)
        written = write(entries(listing, classes), path, {"dataset": source.spec, "kind": source.kind})
        alive()
        key = f"jobs/{claim.job_id}/manifest-{new_id()}.parquet"
        services.bucket.put(key, path)
    facts: dict[str, Any] = {"dataset": source.describe(), "warnings": []}
    if written.unmatched and classes is not None:
        facts["unmatched_labels"] = written.unmatched
        facts["warnings"].append(
            f"{written.unmatched} of {written.count} images have a label that is no class of the model; "
            "they are explained for the predicted class"
        )
    row = queries.get_job(services.database, claim.job_id)
    job = {
        "job": claim.job_id,
        **{name: getattr(row, name) for name in ("name", "owner", "queue", "priority")},
        "config": config,
        "model": record,
        "manifest": {
            "key": key,
            "sha256": written.sha256,
            "count": written.count,
            "listing": written.listing,
        },
        "facts": facts,
    }
    if written.count:  # an empty listing fails the job, and is not what its retry is to find
        job = _written_down(services.bucket, job)
    alive()
    manifest = job["manifest"]
    rate = queries.measured_rate(services.database, work_digest(config))
    size = shard_size(manifest["count"], rate, settings.shard_seconds, config.get("batch"))
    planned = ledger.finish_planning(
        services.database,
        claim,
        manifest_key=manifest["key"],
        manifest_digest=manifest["sha256"],
        total=manifest["count"],
        shards=shard_bounds(manifest["count"], size),
        facts=job["facts"],
        listing_digest=manifest["listing"],
    )
    return f"{manifest['count']} images in shards of {size}" if planned else "too late"


def _written_down(bucket: Bucket, job: JSON) -> JSON:
    """job.json, as the first planner to get so far has written it."""
    key = f"jobs/{job['job']}/job.json"
    try:
        bucket.put(key, canonical(job).encode(), "application/json", if_none_match=True)
    except Exists:
        return json.loads(bucket.get(key))
    return job


def plan_retry(services: Services, claim: ControlClaim, alive: Callable[[], None]) -> str:
    """Collect the rows with the wanted statuses into a manifest of their own and cut it into shards."""
    assert claim.job_id is not None
    assert claim.config is not None
    job = queries.get_job(services.database, claim.job_id)
    assert job.manifest_key is not None
    rows = list(
        _watched(
            queries.rows_with_status(
                services.database, claim.job_id, claim.payload["statuses"], claim.payload.get("classes", ())
            ),
            alive,
        )
    )
    key, size = None, FIRST_SHARD
    if rows:
        key = f"jobs/{claim.job_id}/manifest-r{claim.generation}-{new_id()}.parquet"
        with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
            whole, part = Path(folder) / "manifest.parquet", Path(folder) / "retry.parquet"
            services.bucket.get_to(job.manifest_key, whole)
            subset(Manifest.open(whole), rows, part, {"retry": str(claim.generation)})
            alive()
            services.bucket.put(key, part)
        rate = queries.measured_rate(services.database, work_digest(claim.config))
        size = shard_size(len(rows), rate, services.settings.shard_seconds, claim.config.get("batch"))
    planned = ledger.finish_retry(
        services.database, claim, manifest_key=key, total=len(rows), shards=shard_bounds(len(rows), size)
    )
    return f"{len(rows)} images again" if planned else "too late"


def _watched(things: Iterator[Thing], alive: Callable[[], None]) -> Iterator[Thing]:
    for number, thing in enumerate(things):
        if number % 1000 == 0:
            alive()
        yield thing


def _limited(things: Iterator[Thing], most: int) -> Iterator[Thing]:
    for number, thing in enumerate(things):
        if number >= most:
            raise LimitExceeded(
                f"the dataset has more than {most} images, which is GFI_MAX_IMAGES_PER_JOB; split it or raise the limit"
            )
        yield thing
