"""Dataset → manifest → shards.

The listing is written as a stream into one Parquet file and uploaded before any row of the ledger changes;
then one transaction inserts the shards and moves planning → running.

    jobs/{job}/manifest-{id}.parquet        the listing
    jobs/{job}/manifest-r{n}-{id}.parquet   the rows of the n-th retry
    jobs/{job}/from-rows-{id}.parquet       of an incremental job: the rows of the earlier job that it carries
    jobs/{job}/job.json                     configuration, model record, manifest digest: enough to rebuild from

Each attempt writes its own manifest, and the first job.json is kept. Otherwise a planner that was suspended during an
upload and continues after its lease would replace the manifest that workers are already reading.

The manifest of an incremental job lists first the images to explain, then those that it explains again to verify what
it carries, then those whose results are carried over: so shards are stretches of it as in any other job.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gfi.datasets.manifest import Manifest, reorder, subset
from gfi.domain.digests import JSON, canonical
from gfi.domain.ids import new_id
from gfi.domain.job import LABELS
from gfi.domain.queues import EXPLAIN_QUEUE
from gfi.domain.records import ControlClaim
from gfi.domain.tasks import ROUTED
from gfi.jobs import incremental
from gfi.jobs.audits import settling
from gfi.jobs.audits.earlier import load_earlier
from gfi.jobs.audits.going_on import copy_earlier
from gfi.jobs.listing_writer import Classes, Most, write_listing
from gfi.jobs.routing import queue_of
from gfi.jobs.sharding import FIRST_SHARD, shard_bounds, shard_size
from gfi.jobs.submit import Invalid
from gfi.jobs.task_run import Interrupted
from gfi.store import ledger, queries
from gfi.store.errors import NotFound
from gfi.store.ledger.carrying import PIECE
from gfi.store.ledger.restoring import CARRIED
from gfi.store.objects import Bucket, Exists
from scheduler.services import ControlServices

Row = TypeVar("Row")


def plan(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """List the job's dataset and cut it into shards. `check` raises when the lease is lost."""
    assert claim.job_id is not None
    config, settings = claim.config, services.settings
    record = claim.model or {}
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        path = Path(folder) / "manifest.parquet"
        listing = write_listing(
            config.dataset.spec,
            settings,
            path,
            # With one target for all images, labels need no class.
            classes=Classes.of(record) if config.target in ("auto", LABELS) else None,
            # Of a sample the images that are explained count, not those that are listed.
            most=_most(services, "" if config.sample is not None else claim.owner),
            check=check,
            sample=config.most_images,
        )
        written = listing.written
        check()
        row = queries.get_job(services.database, claim.job_id)
        queue = row.queue
        if claim.payload.get(ROUTED):  # the workers may be others than when it was submitted
            queue = queue_of(services.database, config, record, EXPLAIN_QUEUE)
        key, sha256 = f"jobs/{claim.job_id}/manifest-{new_id()}.parquet", written.sha256
        since = None
        if row.since is not None:
            path, sha256, since = _since(services, claim, row, path, Path(folder), check)
        services.bucket.put(key, path)
    metadata: dict[str, Any] = {"dataset": listing.description, "warnings": listing.warnings}
    if since is not None:
        metadata["since"] = since
        if since["reason"]:
            metadata["warnings"].append(since["sentence"])
    if listing.skipped:
        metadata["skipped"] = listing.skipped
    metadata["warnings"] += written.notes
    if written.columns:
        metadata["columns"] = dict(written.columns)
    if written.unmatched and config.target in ("auto", LABELS):
        metadata["unmatched_labels"] = written.unmatched
        metadata["warnings"].append(
            f"{written.unmatched} of {written.count} images have a label that is not a class of the model; "
            + (
                "those labels are not explained, and an image without any other is explained for the predicted class"
                if config.each_label
                else "they are explained for the predicted class"
            )
        )
    if written.several and config.target == "auto":
        metadata["warnings"].append(
            f"{written.several} of {written.count} images have several labels; they are explained for the predicted"
            " class, and with --target labels for each label"
        )
    if record.get("nondeterministic"):
        metadata["warnings"].insert(
            0, f"the model was registered with allow_nondeterministic: {record['nondeterministic']}"
        )
    job = {
        "job": claim.job_id,
        **{name: getattr(row, name) for name in CARRIED},
        "queue": queue,
        "config": claim.stored_config,
        "model": record,
        "manifest": {
            "key": key,
            "sha256": sha256,
            "count": written.count,
            "listing": written.listing,
        },
        "facts": metadata,
    }
    check()  # the upload may have taken minutes, in which the job may have been deleted
    if written.count:  # an empty listing fails the job; its retry must list anew
        job = _first_record(services.bucket, job)
    check()
    manifest = job["manifest"]
    if config.sample is not None and manifest["count"]:
        return _plan_sample(services, claim, row, job, queue)
    rate = queries.measured_rate(services.database, config.work_digest())
    since, own_images, refused = job["facts"].get("since"), manifest["count"], []
    if since is not None:
        own_images = since["explained"]
        refused = list(_carry(services, claim, manifest["key"], since, check))
    to_explain = own_images + sum(stop - start for start, stop in refused)
    size = shard_size(to_explain, rate, settings.shard_seconds, config.batch)
    planned = ledger.finish_planning(
        services.database,
        claim,
        manifest_key=manifest["key"],
        manifest_digest=manifest["sha256"],
        total=manifest["count"],
        shards=shard_bounds(own_images, size),
        refused=[
            (start + a, start + b) for start, stop in refused for a, b in shard_bounds(stop - start, size)
        ],
        metadata=job["facts"],
        listing_digest=manifest["listing"],
        profile=since["profile"] if since is not None else None,
        removed=since["removed"] if since is not None else None,
        queue=queue,
    )
    return _planned(planned, f"{to_explain} images in shards of {size}")


def _plan_sample(
    services: ControlServices, claim: ControlClaim, row: queries.Job, stored: JSON, queue: str
) -> str:
    """Plan a job that an audit until settled submitted: it begins with a sample of the listing."""
    manifest = stored["manifest"]
    (audit,) = (
        audit
        for audit in queries.list_audits(services.database, row.id)
        if ledger.UNTIL_SETTLED in audit.options
    )
    copy_earlier(services.database, services.bucket, audit)
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        services.bucket.get_to(manifest["key"], whole := Path(folder) / "manifest.parquet")
        listed = Manifest.open(whole)
        earlier = load_earlier(services.bucket, audit, listed)
        rows = settling.first_sample(audit, row, listed, earlier.used).tolist()
        if not rows:
            raise Invalid(
                f"audit {earlier.audit} and those before it used every image of the dataset; add images, or audit "
                "without after"
            )
        key, bounds = settling.put_sample(
            services.bucket, services.database, services.settings, row, listed, rows, Path(folder)
        )
    planned = ledger.finish_planning(
        services.database,
        claim,
        manifest_key=manifest["key"],
        manifest_digest=manifest["sha256"],
        total=len(rows),
        shards=bounds,
        metadata=stored["facts"],
        listing_digest=manifest["listing"],
        sampled_key=key,
        queue=queue,
    )
    return _planned(planned, f"{len(rows)} of {manifest['count']} images first")


def _since(
    services: ControlServices,
    claim: ControlClaim,
    job: queries.Job,
    listing: Path,
    folder: Path,
    check: Callable[[], None],
) -> tuple[Path, str, JSON]:
    """Compare a listing with that of the earlier job. Returns the manifest in the order of this job, its SHA-256, and
    what job.json and the job's facts say."""
    assert claim.job_id is not None
    assert job.since is not None
    asked = job.since
    try:
        parent = queries.get_job(services.database, asked["job"])
    except NotFound:
        raise Invalid(f"job {asked['job']}, whose results were to be carried over, was deleted") from None
    (work := folder / "join").mkdir()
    plan = incremental.decide(
        services.database, services.bucket, parent, claim.config, job.queue, listing, work, check
    )
    plan.check_shrunk(asked.get("allow_shrunk", False))
    carried = plan.from_rows >= 0
    again = np.zeros_like(carried)
    if asked.get("verify") and carried.any():
        count = max(1, round(asked["verify"] * int(carried.sum())))
        seed = int.from_bytes(hashlib.sha256(claim.job_id.encode()).digest()[:8])
        again[np.random.default_rng(seed).choice(np.flatnonzero(carried), count, replace=False)] = True
    arranged = folder / "arranged.parquet"
    sha256 = reorder(Manifest.open(listing), [~carried, again], arranged)
    rows = np.concatenate([plan.from_rows[again], plan.from_rows[carried & ~again]])
    incremental.write_from_rows(rows, folder / "from-rows.parquet")
    key = f"jobs/{claim.job_id}/from-rows-{new_id()}.parquet"
    services.bucket.put(key, folder / "from-rows.parquet")
    fresh = int((~carried).sum())
    return (
        arranged,
        sha256,
        {
            "job": parent.id,
            "explained": fresh + int(again.sum()),
            "new": plan.counts.new,
            "changed": plan.counts.changed,
            "removed": plan.counts.removed,
            "verify": int(again.sum()),
            "verify_from": fresh,
            "from_rows": key,
            "profile": parent.profile if carried.any() else None,
            "reason": plan.reason,
            "sentence": plan.sentence(),
        },
    )


def _carry(
    services: ControlServices,
    claim: ControlClaim,
    manifest_key: str,
    since: JSON,
    check: Callable[[], None],
) -> Iterator[tuple[int, int]]:
    """Carry the results over, a piece at a time. Yields the stretches of the manifest that must be explained after all.

    An attempt that goes on after another finds the pieces that are carried already.
    """
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        paths = [Path(folder) / name for name in ("manifest.parquet", "from-rows.parquet")]
        for key, path in zip((manifest_key, since["from_rows"]), paths, strict=True):
            services.bucket.get_to(key, path)
        manifest = Manifest.open(paths[0])
        from_rows = incremental.read_from_rows(paths[1])[since["verify"] :]
        for at in range(0, len(from_rows), PIECE):
            check()
            # A piece at a time: as a list, the rows of twenty million images would take 0.8 GB.
            start, rows = since["explained"] + at, from_rows[at : at + PIECE].tolist()
            columns = [entry.columns for entry in manifest.rows(start, start + len(rows))]
            outcome = ledger.carry(services.database, claim, manifest_key, since["job"], start, rows, columns)
            if outcome == "lost":
                raise Interrupted
            if outcome == "refused":
                yield start, start + len(rows)


def _first_record(bucket: Bucket, job: JSON) -> JSON:
    """job.json as written by the first planner that reached this step."""
    key = f"jobs/{job['job']}/job.json"
    try:
        bucket.put(key, canonical(job).encode(), "application/json", if_none_match=True)
    except Exists:
        return json.loads(bucket.get(key))
    return job


def plan_retry(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> str:
    """Collect the rows with the wanted statuses, or those that were chosen, into a manifest of their own and cut it
    into shards."""
    assert claim.job_id is not None
    job = queries.get_job(services.database, claim.job_id)
    assert job.manifest_key is not None
    rows = _chosen(services, claim) if claim.payload.get("rows") else _with_status(services, claim, check)
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
    return _planned(planned, f"{len(rows)} images again")


def _planned(committed: bool, outcome: str) -> str:
    """The outcome. Raises Interrupted if the lease was lost, so that the task is given back."""
    if not committed:
        raise Interrupted
    return outcome


def _chosen(services: ControlServices, claim: ControlClaim) -> list[int]:
    """Those of the chosen rows that have a result."""
    assert claim.job_id is not None
    wanted = tuple(claim.payload["rows"])
    return queries.rows_of(services.database, claim.job_id, queries.Filters(rows=wanted), len(wanted))


def _with_status(services: ControlServices, claim: ControlClaim, check: Callable[[], None]) -> list[int]:
    assert claim.job_id is not None
    statuses, classes = claim.payload["statuses"], claim.payload.get("classes", ())
    tried = _tried(services, claim.job_id, classes, check)
    return list(
        _checked(
            queries.rows_with_status(services.database, claim.job_id, statuses, classes, tried),
            check,
        )
    )


def _tried(
    services: ControlServices, job_id: str, classes: Sequence[str], check: Callable[[], None]
) -> dict[int, int]:
    """The rows whose shard in an earlier retry failed with one of these classes, with the number of that retry."""
    failed = queries.failed_in_retries(services.database, job_id, classes) if classes else []
    tried: dict[int, int] = {}
    for (generation, key), shards in groupby(failed, lambda shard: shard[:2]):
        check()
        with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
            services.bucket.get_to(key, path := Path(folder) / "retry.parquet")
            manifest = Manifest.open(path)
            for _, _, start, stop in shards:
                tried |= {entry.row: generation for entry in manifest.rows(start, stop)}
    return tried


def _checked(rows: Iterator[Row], check: Callable[[], None]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % 1000 == 0:
            check()
        yield row


def _most(services: ControlServices, owner: str) -> Most:
    """The smaller of the limits of the installation and of the job's owner."""
    most = services.settings.max_images_per_job
    own = ledger.most_images(services.database, owner)
    if own is not None and own < most:
        return Most(own, ledger.too_many_images(own))
    return Most(
        most,
        f"the dataset has more than {most} images, which is GFI_MAX_IMAGES_PER_JOB; split it or raise the limit",
    )
